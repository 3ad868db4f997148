"""A study of the gridworld, from training to the page, and what its losses are averaged over."""

import html
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from agents import Run, TrainConfig, load_policy, ppo_preset, train
from analysis.probes import probe_gridworld
from envs import CheeseGrid
from rl_slt.errors import InputError
from rl_slt.losses import LOSSES
from rl_slt.pipeline.commands.pictures import film
from rl_slt.pipeline.commands.run import compare, run_study
from rl_slt.pipeline.commands.status import coverage
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.forecast.work import forecast
from rl_slt.pipeline.grid_states import GridStates, grid_states
from rl_slt.pipeline.plan.study import LLCPlan, StudyPlan, parse_study
from rl_slt.pipeline.stages.llc import ITEMS, plan_estimates
from rl_slt.pipeline.stages.train import split

SETS = ["on-policy", "frozen"]
STUDY = """
question = "Does it work?"
base_preset = "gridworld"
seeds = [0, 1]
[train]
steps = 40
checkpoints = "log:3"
temperature = 0.01
[arms.corner]
dose = 0.0
coin = "corner"
[arms.anywhere]
dose = 1.0
coin = "anywhere"
[llc]
losses = ["exact-regret:temperature=0.01"]
states = ["on-policy"]
nbeta = 1000.0
localization = 100.0
chains = 2
draws = 20
burn_in = 10
checkpoints = 1
[[hypothesis]]
name = "doses tell"
role = "primary"
kind = "dose"
metric = "apart/corner_first"
direction = "less"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "grid"
    assert not run_study(plan(), out, workers=0).failed
    return out


def test_a_study_from_python_is_quiet_and_gives_its_tables(
    study: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("rl_slt")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    logger.setLevel(logging.NOTSET)
    result = run_study(plan(), study, workers=0)
    assert capfd.readouterr() == ("", "") and not result.failed
    assert result.report == study / "report.html" and result.headline
    stored = pd.read_parquet(study / "tables" / "hypotheses.parquet")
    pd.testing.assert_frame_equal(result.tables["hypotheses"], stored)
    assert set(result.tables["llc"]["run"]) == {run.name for run in Study(study).runs}


def plan(text: str = STUDY) -> StudyPlan:
    return parse_study(text, "grid")


def test_the_tables_are_those_of_any_study(study: Path) -> None:
    probes, llc = (pd.read_parquet(study / "tables" / f"{t}.parquet") for t in ("probes", "llc"))
    run = Run(study / "runs" / "anywhere-s1")
    assert run.finished and run.arm == "anywhere"
    steps = [checkpoint.step for checkpoint in run.checkpoints]
    assert len(steps) == 3 and steps[-1] == 40
    assert sorted(probes.loc[probes["run"] == run.name, "step"].unique()) == steps
    exact = probe_gridworld(load_policy(run.checkpoint()), CheeseGrid(), run=run.name, step=40)
    found = probes[(probes["run"] == run.name) & (probes["step"] == 40)]
    both = exact.merge(found, on=["probe", "metric"])
    assert len(both) == len(exact) == len(found)
    assert np.allclose(both["value_x"], both["value_y"], atol=0)
    assert len(llc) == 4 and set(llc["states"]) == {"on-policy"}
    assert sorted(llc["n_states"].unique()) == [1, 25]  # levels that count
    assert set(llc["sample_unit"]) == {"level"}
    known = pd.read_parquet(study / "tables" / "covariates.parquet")
    assert known["entropy"].between(0, np.log(4)).all() and known["return"].notna().all()
    claims = pd.read_parquet(study / "tables" / "hypotheses.parquet")
    assert claims["hypothesis"].iloc[0] == "doses tell" and claims["n"].iloc[0] == 4
    assert claims["value"].iloc[0] < 0


def test_the_page_speaks_of_mice_and_cheese(study: Path) -> None:
    page = (study / "report.html").read_text()
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", " ", body))
    text = text[: text.index("Settings, to make this again")]  # there coin is a setting
    assert "To the corner, or to the cheese?" in text and "gradient steps" in text
    assert "1 to 25 levels, on each" in text
    assert not re.findall(r"\b(?:coins?|CoinRun|frames|film strips?|environment steps)\b", text)
    assert body.count("data:image/png;base64") == 2  # a policy of each arm


@pytest.mark.parametrize(("other", "wanted"), [("anywhere", ["on-policy"]), ("corner", SETS)])
def test_status_counts_a_state_set_that_is_equal_by_another_name_once(
    study: Path, other: str, wanted: list[str]
) -> None:
    """Where all arms have one placement, the frozen set is what each run's training has."""
    run = Run(study / "runs" / "anywhere-s1")
    settings = Study(study).config["settings"] | {
        "arms": {"anywhere": {"coin": "anywhere"}, "more": {"coin": other}}
    }
    settings["llc"] = settings["llc"] | {"states": SETS}
    found = {series.name.partition(" on ")[2]: series for series in coverage(run, ITEMS, settings)}
    assert [*found] == wanted and found["on-policy"].missing == 0
    assert all(found[name].missing == 1 for name in wanted[1:])


@pytest.mark.slow
def test_the_same_study_again_computes_nothing(study: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in study.glob("runs/*/parts/*/*/*.parquet")}
    assert files and not run_study(plan(), study, workers=0).failed
    assert {p: p.stat().st_mtime_ns for p in study.glob("runs/*/parts/*/*/*.parquet")} == files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('["on-policy"]', '["probe:corner"]'), "frozen or on-policy, then :PLACEMENT"),
        (('["on-policy"]', '["frozen/coin-absent"]'), "frozen or on-policy, then :PLACEMENT"),
        (('["on-policy"]', '["frozen:behind"]'), "coin='behind': must be corner, anywhere"),
        (("apart/corner_first", "behind/coin_rate"), "metric='behind': must be of the study:"),
        (('coin = "corner"', 'coin = "end"\ngame = "coinrun"\ntrainer = "ppo"\nnetwork = "small"\n'
          'optimizer = "adam"\ntemperature = 0'),
         "arms.anywhere.game='gridworld': must be coinrun, as of corner"),
        (('losses = ["exact-regret:temperature=0.01"]', 'losses = ["rollout-regret"]'),
         "loss='rollout-regret': must be one without episodes in a gridworld"),
        (("nbeta = 1000.0", ""), "nbeta='relative:50': must be given with loss exact-regret"),
        (('coin = "corner"', 'coin = "at=9,9"'), "coin='at=9,9': must be a free cell of a grid"),
        (("[arms.corner]", '[probe]\nmode = "greedy"\n[arms.corner]'),
         "probe.mode='greedy': must be left out: probes are exact there"),
        (('[train]', '[train]\nlevels = "0:9"'), "levels=(0, 9): must be left out; it"),
        (('[train]', '[train]\nnum_envs = 2'), "num_envs=2: must be left out; it"),
        (("nbeta = 1000.0", "nbeta = 1000.0\nn_states = 64"),
         "n_states=64: must be left out: all levels and cells of a gridworld count"),
    ],
)  # fmt: skip
def test_what_a_gridworld_has_not_is_refused_before_training(
    change: tuple[str, str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        plan(STUDY.replace(*change))
    assert message in str(error.value)


def config(coin: str = "mix:0.2:anywhere:corner") -> TrainConfig:
    return ppo_preset("gridworld", coin=coin, steps=20, checkpoints="linear:2")


def load(states: GridStates, loss: str, tmp_path: Path) -> tuple[object, ...]:
    train(config(), tmp_path / "a")
    policy = load_policy(Run(tmp_path / "a").checkpoint())
    data = states.load(LOSSES[loss](), policy, tmp_path, tmp_path, "w", config())
    return policy, data


def test_levels_count_as_the_placements_have_them(tmp_path: Path) -> None:
    grid, placements = CheeseGrid(), ("corner", "mix:0.2:anywhere:corner")
    states = grid_states(config(), "frozen", placements, 2048, 0)
    _, data = load(states, "exact-regret", tmp_path)
    expected = np.mean([grid.probabilities(p) for p in placements], axis=0)
    assert data.weights.numpy() / 25 == pytest.approx(expected, abs=1e-7)  # type: ignore[attr-defined]
    own = grid_states(config(), "on-policy", placements, 2048, 0)
    assert own.shares.numpy() == pytest.approx(grid.probabilities(placements[1]))
    named = grid_states(config(), "frozen:at=0,0", placements, 2048, 0)
    assert named.shares.numpy() == pytest.approx(grid.probabilities("at=0,0"))
    assert len({s.key("") for s in (states, own, named)}) == 3


def test_cells_count_as_the_policy_visits_them(tmp_path: Path) -> None:
    grid = CheeseGrid()
    states = grid_states(config(), "on-policy", (), 2048, 0)
    policy, data = load(states, "kl", tmp_path)
    logits = policy(torch.from_numpy(grid.observations))  # type: ignore[operator]
    visits = grid.mdp.occupancy(logits.detach().double())
    share = torch.from_numpy(grid.probabilities(config().coin))[:, None] * visits
    share = share / visits.sum(-1, keepdim=True)
    weights = data.weights.double() / data.weights.sum()  # type: ignore[attr-defined]
    assert weights.numpy() == pytest.approx(share[share > 0].numpy(), abs=1e-7)
    assert data.episode.unique().tolist() == list(range(25))  # type: ignore[attr-defined]
    frozen = states.few(512, tmp_path)
    assert len(frozen) == 25 * 24  # cells that are a start of some level


def test_levels_alone_are_the_same_whoever_visits_them(tmp_path: Path) -> None:
    """Of one run, whose placement is that of all, frozen and on-policy are one for them."""
    train(config(), tmp_path / "a")
    run, both = Run(tmp_path / "a"), ("frozen", "on-policy")
    loss = "exact-regret:temperature=0.01"
    for losses, placements, sets in (
        ((loss,), (config().coin,), ["frozen"]),
        ((loss,), (config().coin,) * 2, ["frozen"]),  # two arms that share it
        ((loss,), (config().coin, "corner"), ["frozen", "on-policy"]),
        (("kl",), (config().coin,), ["frozen", "on-policy"]),
    ):
        planned = plan_estimates(run, LLCPlan(losses=losses, states=both, nbeta=9.0), placements)
        assert [estimate.states.name for estimate in planned] == sets * 2
    with pytest.raises(InputError, match="exact-regret and return-error take their place"):
        plan_estimates(run, LLCPlan(losses=("surrogate",), states=("on-policy",)), ("corner",))
    with pytest.raises(InputError, match="nbeta='relative:50': must be given with loss exact-reg"):
        LLCPlan(losses=(loss,))


def test_a_forecast_counts_no_state_set_that_is_another_by_name() -> None:
    """Else a study of one placement, whose second set is never made, would never be done."""
    text = STUDY.replace('states = ["on-policy"]', 'states = ["frozen", "on-policy"]')
    for placement, sets in (("anywhere", 2), ("corner", 1)):
        tasks = forecast(plan(text.replace('coin = "anywhere"', f'coin = "{placement}"'))).tasks
        assert sum(task.what == "estimates" for task in tasks) == 4 * sets


def test_a_forecast_counts_no_episodes() -> None:
    tasks = forecast(plan()).tasks
    count = {what: sum(task.what == what for task in tasks) for what in {t.what for t in tasks}}
    assert count == {
        "runs": 4,
        "estimates": 4,
        "checkpoints probed": 12,
        "runs filmed": 4,
        "report": 1,
    }


def test_commands_that_need_frames_refuse_it(study: Path, tmp_path: Path) -> None:
    run = study / "runs" / "corner-s0"
    for call in (
        lambda: compare(run, study / "runs" / "anywhere-s0", tmp_path / "ab.html", {}),
        lambda: film(run, tmp_path / "a.gif"),
    ):
        with pytest.raises(InputError, match="game='gridworld': must be coinrun or maze"):
            call()
    assert not list(tmp_path.iterdir())


def test_runs_are_split_into_groups_of_one_size() -> None:
    runs = [(config(coin).as_dict(), f"{coin}-{k}", "a") for coin in ("corner", "anywhere")
            for k in range(5)]  # fmt: skip
    other = (config().replace(lr=1.0).as_dict(), "other", "b")
    groups = split([*runs, other], 3)
    assert sorted(len(group) for group in groups) == [1, 3, 3, 4]
    assert sorted(run[1] for group in groups for run in group) == sorted(
        run[1] for run in [*runs, other]
    )
    assert max(len(group) for group in split(runs * 10, 1)) <= 32


def test_a_study_done_in_parts_is_the_same_study(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid"
    assert not run_study(plan(), out, workers=0, seeds="1:2").failed
    assert sorted(run.name for run in Study(out).runs) == ["anywhere-s1", "corner-s1"]
    assert Study(out).config["seeds"] == [0, 1]
    assert not run_study(plan(), out, workers=0, seeds="0:1").failed
    whole, parts = (pd.read_parquet(of / "tables" / "hypotheses.parquet") for of in (study, out))
    pd.testing.assert_frame_equal(whole, parts)
    with pytest.raises(InputError, match="seeds='2:3'"):
        run_study(plan(), tmp_path / "none", workers=0, seeds="2:3")
    assert not (tmp_path / "none").exists()
