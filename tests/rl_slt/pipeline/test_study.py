"""Studies: the presets are sound, and a wrong value is one line that names it."""

import hashlib
import json
import re
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from analysis.probes import SUITES
from rl_slt import POLICY_CNN
from rl_slt.errors import InputError
from rl_slt.losses import LOSSES
from rl_slt.pipeline.commands.plan import open_or_create
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.plan.study import (
    LLCPlan,
    ProbePlan,
    StudyPlan,
    load_preset,
    load_study,
    parse_study,
    preset_names,
)

SMALL = """
question = "?"
[arms.a]
coin = "end"
"""

CLAIM = (
    SMALL
    + """
[[hypothesis]]
name = "claim"
role = "primary"
kind = "seeds"
series = "llc"
loss = "kl"
metric = "behind/coin_rate"
"""
)


def test_the_contract_presets_are_there_and_sound() -> None:
    assert preset_names() == [
        "alpha", "coinrun", "demo", "gridworld", "gridworld-bayes", "smoke"
    ]  # fmt: skip
    for name in preset_names():
        plan = load_preset(name)
        for arm in plan.arms:
            assert plan.train_config(arm, 3).seed == 3
    assert load_preset("demo", seed=4).seeds == (4,)


def test_the_demo_compares_the_same_starts_with_the_coin_elsewhere() -> None:
    arms = load_preset("demo").arms
    assert arms["end"]["coin"] == "mix:0.5:end@mid:end"
    assert arms["behind"]["coin"] == "mix:0.5:behind:end"
    assert len(load_preset("demo").train_config("end", 0).checkpoint_steps) >= 12


@pytest.mark.parametrize("base", ["paper", "demo"])
def test_a_study_of_ones_own_has_the_llc_at_forty_log_spaced_checkpoints(
    base: str, tmp_path: Path
) -> None:
    """They are stored anyway; presets with a time to keep state fewer."""
    path = tmp_path / "mine.toml"
    path.write_text(f'base_preset = "{base}"\n{SMALL}')
    plan = load_study(path)
    config = plan.train_config("a", 0)
    assert config.checkpoints == "log:40" and len(config.checkpoint_steps) == 40
    assert plan.llc.checkpoints == plan.probe.checkpoints == 40
    stated = {name: load_preset(name).train.get("checkpoints") for name in preset_names()}
    assert stated["demo"] == "log:12"
    path.write_text(f'base_preset = "{base}"\n{SMALL}\n[train]\ncheckpoints = "log:16"\n')
    assert len(load_study(path).train_config("a", 0).checkpoint_steps) == 16


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL + "\n[llc]\nchains = 8\n")
    plan = load_study(path)
    assert plan.name == "mine" and plan.llc == LLCPlan(chains=8)


def test_the_defaults_are_the_named_settings() -> None:
    plan = LLCPlan()
    names = ("localization", "chains", "draws", "burn_in", "batch_size", "nbeta")
    for name in (*names, "preconditioner_rank", "precision"):
        assert getattr(plan, name) == getattr(POLICY_CNN, name), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question = ", "not valid TOML"),
        ('question = "?"', "arms: missing; it must be given"),
        (SMALL + "nonsense = 1", "arms.a: nonsense: unknown setting; allowed: coin"),
        (SMALL + "[llc]\nchains = 'x'", r"llc\.chains='x': must be an integer at least 2"),
        (SMALL + "[llc]\nchains = 1", r"llc\.chains=1: must be an integer at least 2"),
        (SMALL + "[llc]\ndraws = 3", r"llc\.draws=3: must be an integer at least 8"),
        (SMALL + "[llc]\nbatch_size = 4096", "batch_size=4096: must be at most n_states=2048"),
        (SMALL.replace("arms.a", 'arms."../b"'), r"arm='\.\./b': must be at most 100 letters"),
        (SMALL.replace('"end"', '"moon"'), "moon"),
        (SMALL.replace("coin =", "coins ="), r"arms\.a\.coin: missing; it must be given"),
        (
            'base_preset = "moon"' + SMALL,
            "preset='moon': must be one of clone, demo, gridworld, gridworld-ppo, paper",
        ),
        ("seeds = []\n" + SMALL, r"seeds=\[\]: must be a list of at least 1"),
        (SMALL + "dose = 'x'", r"arms\.a\.dose='x': must be a finite number"),
        (CLAIM.replace("seeds", "luck"), "hypothesis.0.kind='luck': must be arms, dose, seeds"),
        (CLAIM.replace("primary", "main"), "hypothesis.0.role='main': must be primary, secondary"),
        (CLAIM.replace("behind/", "moon/"), "'claim': metric='moon': must be of the study: end"),
        (CLAIM.replace("kl", "nll"), "hypothesis 'claim': loss='nll': must be of the study: kl"),
        (
            CLAIM + "relative_temperature = 5",
            "hypothesis 'claim': relative_temperature='5': must be of the study: $",
        ),
        (
            CLAIM + "matched_entropy = 1",
            "hypothesis 'claim': matched_entropy=1.0: must be of the study: $",
        ),
        (CLAIM + "step = 7", "hypothesis 'claim': step=7: must be last or one of 0, "),
        (CLAIM + "arms = ['b']", "hypothesis 'claim': arms='b': must be of the study: a"),
        (CLAIM.replace('"llc"', '"lcc"'), "hypothesis 'claim': series='lcc': must be of the study"),
        (CLAIM + "given = ['x']", "hypothesis 'claim': given='x': must be of the study: "),
        (CLAIM.replace("seeds", "arms"), "hypothesis 'claim': arms=None: must be at least two"),
        (CLAIM.replace("seeds", "dose"), "doses=None: must be two different numbers of arms"),
        (CLAIM + CLAIM.removeprefix(SMALL), "name='claim': must be the name of one"),
        (CLAIM + CLAIM.removeprefix(SMALL).replace("claim", "b"), "role='primary': must be that"),
    ],
)
def test_wrong_studies(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_study(text, "mine")
    assert "\n" not in str(error.value)


def test_presets_name_one_primary_hypothesis_that_their_tables_can_answer() -> None:
    for name in preset_names():
        plan = load_preset(name)
        roles = [h.role for h in plan.hypotheses]  # a posterior comes with no claim
        assert roles.count("primary") == (plan.bayes is None) and set(roles) <= {
            "primary",
            "secondary",
        }, name


def test_doses_of_arms_are_those_of_the_hypotheses_and_no_setting_of_training() -> None:
    plan = load_preset("alpha")
    doses = {"a0.00": 0.0, "a0.01": 0.01, "a0.03": 0.03, "a0.10": 0.1, "a0.30": 0.3, "a0.50": 0.5}
    assert {arm: own["dose"] for arm, own in plan.arms.items()} == doses
    assert [h.doses for h in plan.hypotheses if h.kind == "dose"] == [doses] * 3
    assert "dose" not in plan.train_config("a0.10", 0).as_dict()


def test_what_was_fixed_before_the_data_is_kept(tmp_path: Path) -> None:
    text = CLAIM + "# a remark\n"
    study = open_or_create(parse_study(text, "mine"), tmp_path / "out")
    assert (study.path / "study.toml").read_text() == text
    fixed = study.config["fixed"]
    assert fixed["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert datetime.now(UTC) - datetime.fromisoformat(fixed["time"]) < timedelta(minutes=5)
    assert [h["name"] for h in study.config["hypothesis"]] == ["claim"]
    open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out")  # remarks do not count
    assert Study(tmp_path / "out").config["fixed"] == fixed


def test_hypotheses_of_a_study_that_goes_on_are_added_as_named_after_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out").path
    fixed = Study(out).config["fixed"]
    other = parse_study(CLAIM.replace("claim", "other"), "mine")
    for _ in range(2):
        study = open_or_create(other, out)
        assert [h["name"] for h in study.config["hypothesis"]] == ["claim", "other"]
    assert "exploratory: 'other'" in capsys.readouterr().err
    assert study.config["fixed"] == fixed and (out / "study.toml").read_text() == CLAIM
    with pytest.raises(InputError, match="another study"):
        open_or_create(parse_study(CLAIM.replace("?", "!"), "mine"), out)


def test_a_hypothesis_from_before_it_had_all_settings_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out").path / "study.json"
    old = json.loads(path.read_text())
    del old["hypothesis"][0]["relative_temperature"]
    path.write_text(json.dumps(old))
    study = open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out")
    assert len(study.config["hypothesis"]) == 1 and capsys.readouterr().err == ""


def test_a_part_of_the_seeds_is_of_the_same_study() -> None:
    text = "seeds = [3, 4, 5, 8]\n" + CLAIM
    plan = parse_study(text, "mine")
    part = plan.part("4:6")
    assert part.seeds == (4, 5) and part.sha256 == plan.sha256 and plan.seeds == (3, 4, 5, 8)
    for wrong in ("0:3", "6:8", "8", "5:4", "a:b"):
        with pytest.raises(InputError, match=f"seeds='{wrong}': must be a range A:B .* 3, 4, 5, 8"):
            plan.part(wrong)


def test_a_study_from_before_there_were_hypotheses_goes_on_without(tmp_path: Path) -> None:
    path = open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out").path / "study.json"
    old = json.loads(path.read_text())
    del old["hypothesis"], old["fixed"]
    path.write_text(json.dumps(old))
    study = open_or_create(parse_study(CLAIM, "mine"), tmp_path / "out")
    assert "hypothesis" not in study.config  # what came after the data is none


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="preset='moon': must be one of alpha"):
        load_preset("moon")
    with pytest.raises(InputError, match="cannot read the study"):
        load_study(tmp_path / "gone.toml")


def test_draws_that_no_chain_can_keep_are_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"^draws=3: must be an integer at least 8$"):
        LLCPlan(draws=3)


def test_help_names_every_loss_with_its_options_and_every_suite() -> None:
    texts = LLCPlan.descriptions()
    for name, loss in LOSSES.items():
        assert re.search(rf"\b{name}\b", texts["losses"])
        assert all(option in texts["losses"] for option in loss.option_forms())
    assert all(name in ProbePlan.descriptions()["suite"] for name in SUITES)


def test_the_schema_describes_every_setting_and_the_presets_are_of_it() -> None:
    schema = StudyPlan.model_json_schema()
    for model in (StudyPlan, LLCPlan, ProbePlan):
        fields = (schema if model is StudyPlan else schema["$defs"][model.__name__])["properties"]
        assert [*fields] == [*model.model_fields] and all(model.descriptions().values())
        for name, field in fields.items():
            texts = [part.get("description") for part in (field, *field.get("anyOf", ()))]
            assert any(texts), name
    for path in resources.files("rl_slt.pipeline.plan").joinpath("presets").iterdir():
        values = {"name": path.name} | tomllib.loads(path.read_text())
        jsonschema.validate(values, schema)
        for part, wrong in {"llc": {"moon": 0}, "train": {"moon": 0}}.items():
            with pytest.raises(jsonschema.ValidationError, match="'moon' was unexpected"):
                jsonschema.validate(values | {part: wrong}, schema)
        with pytest.raises(jsonschema.ValidationError, match="2 is greater than the maximum"):
            jsonschema.validate(values | {"arms": {"a": {"coin": "end", "gamma": 2}}}, schema)
