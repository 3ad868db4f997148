"""The probe stage on a run with two untrained checkpoints: tables, clips, what is redone."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

import agents
import envs
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis.probes import run_baselines
from analysis.schema import TABLES
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.engine.jobs import SerialEngine
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.pipeline.stages.probe import stage as probe
from rl_slt.pipeline.stages.probe.items import join_baselines, make_baselines, shared_states

PLAN = ProbePlan(suite="demo", levels=3, time_limit=12, states=20)
SETTINGS = {"pits": False, "crates": False, "steps": False, "monochrome": True}


def make_run(path: Path, seed: int, **train: object) -> Run:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in (0, 64):
            network = agents.build_network("patch")
            save_checkpoint(path, step, network, NetworkSpec("patch", {}), {})
    write_index(path, True)
    train = {"coin": "end", "levels": [0, 100], "settings": SETTINGS} | train
    (path / "config.json").write_text(json.dumps({"name": path.name, "seed": seed, "train": train}))
    return Run(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    place = tmp_path_factory.mktemp("runs")
    made = [make_run(place / f"a-s{seed}", seed) for seed in (0, 1)]
    assert not probe.probe_runs(made, PLAN, SerialEngine())
    return made


def table(run: Run, name: str) -> pd.DataFrame:
    return pd.read_parquet(run.tables / f"{name}.parquet")


def test_every_checkpoint_has_rows_of_all_three_kinds(runs: list[Run]) -> None:
    for run in runs:
        rows = table(run, "probes")
        assert list(rows.columns)[: len(TABLES["probes"])] == list(TABLES["probes"])
        assert not rows.duplicated(["run", "step", "probe", "metric"]).any()
        for step in (0, 64):
            names = set(rows[rows["step"] == step]["probe"])
            assert names >= {"behind", "end@mid", "suite", "counterfactual", "readout"}
        metrics = set(rows[rows["probe"] == "counterfactual"]["metric"])
        assert {"kl:left", "tv:right", "toward:left", "value_change:right"} <= metrics
        metrics = set(rows[rows["probe"] == "readout"]["metric"])
        assert {"accuracy:trained:body.fc", "gain:body.fc"} <= metrics
        near = table(run, "counterfactual")
        assert set(near["step"]) == {0, 64} and near["distance"].between(2, 6).all()


def test_checkpoints_see_the_same_states(runs: list[Run]) -> None:
    """What does not depend on the policy is equal everywhere: the readout of the observation."""
    rows = pd.concat([table(run, "probes") for run in runs])
    seen = rows[rows["metric"] == "accuracy:observation:observation"]["value"]
    assert len(seen) == 4 and seen.nunique() == 1
    assert len([*(runs[0].path / "parts" / "states").glob("probe-*.npz")]) == 1
    assert not (runs[1].path / "parts" / "states").exists()  # shared, not collected again


def test_baselines_of_parts_are_those_of_one_go(runs: list[Run]) -> None:
    """Also where levels in between are left out; nothing is left of the parts."""
    (item,) = probe.plan_items(runs[0], PLAN.replace(checkpoints=1), runs[0].path)
    suite = item.suite.replace(n_levels=5, met=tuple(item.suite.levels[0] + i for i in (1, 4, 9)))
    item = replace(item, suite=suite)
    for part in range(item.parts):
        join_baselines(item)
        assert not item.store("baselines").has(item.setting)
        make_baselines(item, part)
    join_baselines(item)
    found = item.store("baselines").read_item(item.setting, "episodes")
    whole = run_baselines(suite, item.seed)
    columns = [*whole.columns.difference(["run", "setting_id", "version"])]
    pd.testing.assert_frame_equal(found[columns], whole[columns], check_dtype=False)
    assert not item.store("baseline_parts").keys()


def test_parts_of_baselines_that_are_there_are_not_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a command that was ended among them."""
    run, plan = make_run(tmp_path / "a-s0", 0), PLAN.replace(states=0)
    (*_, item) = probe.plan_items(run, plan, tmp_path)
    make_baselines(item, 1)
    played = []

    def count(item: probe.ProbeItem, part: int) -> None:
        played.append(part)
        make_baselines(item, part)

    monkeypatch.setattr(probe, "make_baselines", count)
    assert not probe.probe_runs([run], plan, SerialEngine())
    assert played == [0, 2]


def test_nothing_is_done_twice(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [table(run, "probes") for run in runs]
    for module, name in ((probe, "make"), (probe, "make_baselines"), (probe, "make_clips")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("made again"))
    assert not probe.probe_runs(runs, PLAN, SerialEngine())
    assert capsys.readouterr().err == "probe: 0 checkpoints probed, 4 kept\n"
    for run, frame in zip(runs, before, strict=True):
        pd.testing.assert_frame_equal(table(run, "probes"), frame)


def test_each_run_has_a_picture_of_its_probes(runs: list[Run]) -> None:
    for run in runs:
        assert (run.path / "probes.png").read_bytes()[:4] == b"\x89PNG"


def test_clips_say_what_they_show(runs: list[Run]) -> None:
    for run in runs:
        records = json.loads((run.path / "clips" / "clips.json").read_text())
        assert [clip["which"] for clip in records[:3]] == ["common"] * 3
        assert {clip["level_seed"] for clip in records[:3]} == {2_000_000_000}
        own, field = records[3:-1], records[-1]
        assert own and {clip["which"] for clip in own} <= {"typical", "surprising"}
        episodes = table(run, "episodes").query("policy == 'agent' and step == 64")
        firsts = episodes[episodes["probe"] == "behind"].set_index("level_seed")["first"]
        for clip in own:
            assert "of this agent's levels: behind, level" in clip["caption"]
            assert clip["first"] == firsts[clip["level_seed"]]
            assert (run.path / "clips" / clip["file"]).read_bytes()[:4] == b"GIF8"
        assert (field["which"], field["step"], field["level_seed"]) == ("field", 64, 2_000_000_000)
        assert (run.path / "clips" / field["strip"]).read_bytes()[:4] == b"\x89PNG"


def test_another_setting_takes_the_place_of_the_first(runs: list[Run], tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-s0", 0)
    greedy = PLAN.replace(mode="greedy", states=0)
    longer = PLAN.replace(levels=4, states=0)
    for plan in (PLAN.replace(states=0), greedy, longer):
        assert not probe.probe_runs([run], plan, SerialEngine())
    rows = table(run, "probes")
    assert not rows.duplicated(["run", "step", "probe", "metric", "mode"]).any()
    n = rows[rows["metric"] == "coin_rate"].groupby("mode")["n"].unique()
    assert n["sampled"].tolist() == [4] and n["greedy"].tolist() == [3]
    assert not rows["probe"].isin(["counterfactual", "readout"]).any()
    episodes = table(run, "episodes")
    played = episodes[(episodes["policy"] == "coin-blind") & (episodes["mode"] == "sampled")]
    assert len(played) == 4 * 7  # no baseline of the setting before


def test_fixed_state_probes_stay_until_others_are_made(tmp_path: Path) -> None:
    """One rule for all tables: a command that asks for no states takes none out of them."""
    run = make_run(tmp_path / "a-s0", 0)
    for plan, states in (
        (PLAN, 20),
        (PLAN.replace(levels=4, states=0), 20),  # the setting that is there stays
        (PLAN.replace(states=4), 4),  # as complete as the first, and asked for
        (PLAN.replace(states=0), 4),
        (PLAN, 20),
    ):
        assert not probe.probe_runs([run], plan, SerialEngine())
        near, rows = table(run, "counterfactual"), table(run, "probes")
        sizes = rows[rows["metric"] == "kl:left"].groupby("step")["n"].max()
        assert set(near["step"]) == set(sizes.index) == {0, 64}
        assert near["setting_id"].nunique() == 1 and sizes.max() <= states
        assert (rows["probe"] == "readout").any() == (states == 20)  # four levels are too few
        assert not rows.duplicated(["step", "probe", "metric"]).any()


def test_damaged_states_are_named(runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no archive")
    suite = probe.plan_suite(runs[0], PLAN)
    with pytest.raises(InputError, match=r"x\.npz is damaged"):
        shared_states(str(tmp_path / "x.npz"), suite, 20)


def test_suite_follows_the_plan_and_refuses_other_games(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 0, time_limit=50)
    assert probe.plan_suite(run, ProbePlan(suite="demo")).time_limit == 200
    assert probe.plan_suite(run, ProbePlan(suite="demo", time_limit=30)).time_limit == 30
    with pytest.raises(InputError, match="'maze'"):
        probe.plan_suite(make_run(tmp_path / "b", 0, game="maze"), PLAN)
    with pytest.raises(InputError, match="suite='moon': must be one of standard, demo"):
        probe.plan_suite(run, ProbePlan(suite="moon"))


def test_levels_met_in_a_finite_range_are_no_probe_levels(tmp_path: Path) -> None:
    """500 plain levels share their ground with most probe levels."""
    plan = PLAN.replace(levels=30, states=0)
    run = make_run(tmp_path / "a-s0", 0, levels=[0, 500])
    suite = probe.plan_suite(run, plan)
    trained = set(envs.layout_hashes(range(500), suite.settings).tolist())
    assert len(suite.seeds) == 30 and suite.met
    assert not trained & set(envs.layout_hashes(suite.seeds, suite.settings).tolist())
    assert trained >= set(envs.layout_hashes(suite.met, suite.settings).tolist())
    assert sorted([*suite.seeds, *suite.met]) == [*range(suite.levels[0], suite.seeds[-1] + 1)]
    share = len(suite.met) / (len(suite.met) + 30)
    assert 0.5 < share < 0.9


def test_share_of_levels_met_is_told_for_unlimited_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "a-s0", 0, levels=None)
    plan = PLAN.replace(levels=20, states=0, time_limit=2)
    assert probe.plan_suite(run, plan).met is None
    assert not probe.probe_runs([run], plan, SerialEngine())
    rows = table(run, "probes").query("probe == 'levels'")
    assert rows["step"].isna().all() and (rows["n"] == 20).all()
    met = dict(zip(rows["metric"], rows["value"].astype(float), strict=True))
    suite = probe.plan_suite(run, plan)
    own, seen = (
        envs.layout_hashes(seeds, suite.settings).tolist() for seeds in (suite.seeds, range(500))
    )
    share = sum(one in set(seen) for one in own) / 20
    assert met["layout_met:500"] == share > 0.2
    assert share <= met["layout_met:2000"] <= met["layout_met:8000"]
    said = capsys.readouterr().err
    assert "Not held out: training draws from all levels" in said
    assert f"ground of {share:.0%} [" in said and "a sample of such seeds" in said
