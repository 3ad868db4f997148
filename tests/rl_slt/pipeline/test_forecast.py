"""What a study will compute and how long that takes; the budget; progress of the whole study."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from analysis import schema
from rl_slt.cli.commands import cli
from rl_slt.errors import InputError
from rl_slt.pipeline.commands import plan as commands
from rl_slt.pipeline.commands.plan import describe_plan, open_or_create, within_budget
from rl_slt.pipeline.commands.status import describe
from rl_slt.pipeline.engine import progress
from rl_slt.pipeline.engine.work import evenly
from rl_slt.pipeline.forecast import whole
from rl_slt.pipeline.forecast.budget import cuts_between, describe_cuts, fit, parse_budget
from rl_slt.pipeline.forecast.costs import Costs, typical
from rl_slt.pipeline.forecast.whole import WholeStudy
from rl_slt.pipeline.forecast.work import STAGES, forecast, makespan
from rl_slt.pipeline.plan.study import StudyPlan, load_preset, parse_study
from rl_slt.pipeline.stages.llc import plan_estimates, plan_profiles
from tests.rl_slt.pipeline.test_status import make_run

TINY = (Path(__file__).parents[3] / "benchmarks" / "tiny.toml").read_text()
STUDY = """
question = "?"
seeds = [0, 1]
[train]
network = "small"
steps = 1024
num_envs = 8
n_steps = 32
batch_size = 64
checkpoints = "list:0,256,512,768,1024"
[arms.a]
coin = "end"
[arms.b]
coin = "behind"
[llc]
states = ["frozen", "on-policy"]
match_entropy = [1.0]
profile = [5, 50, 500]
n_states = 64
[[hypothesis]]
name = "b is more complex"
role = "primary"
kind = "arms"
series = "llc"
loss = "kl"
states = "on-policy"
arms = ["a", "b"]
direction = "greater"
"""
COSTS = Costs(
    run=0, step=0.01, state=0, estimate={"kl": 2.0}, gradient_step={"kl": 0.1}, layout=0,
    baseline=0.5, level=0.05, clips=1, report=3, wait=1,
)  # fmt: skip


@pytest.fixture
def plan() -> StudyPlan:
    return parse_study(STUDY, "mine")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[StudyPlan]:
    """These costs instead of a measurement; the plans that they were asked for."""
    asked: list[StudyPlan] = []

    def measure(plan: StudyPlan, workers: int = 1) -> Costs:
        asked.append(plan)
        return COSTS

    for module in (commands, whole):
        monkeypatch.setattr(module, "measure", measure)
    return asked


def test_jobs_start_in_their_order_as_workers_are_free() -> None:
    assert makespan([4, 1, 1, 1], 2) == 4
    assert makespan([1, 1, 1], 2) == 2
    assert makespan([1, 1, 4], 2) == 5
    assert makespan([], 3) == 0


def test_a_plan_counts_its_work_and_its_time(plan: StudyPlan) -> None:
    work = forecast(plan, COSTS, workers=2)
    assert work.count("runs") == (0, 4)
    assert work.count("estimates") == (0, 4 * 5 * 3)
    assert work.count("profiles") == (0, 4)
    assert work.count("checkpoints probed") == (0, 20)
    assert work.of("train").seconds == pytest.approx(2 * 1024 * 0.01)
    # A profile: its first estimate at full length and half of it at each of two others; its
    # first is the run's own last estimate on the first states.
    estimate, profile = 2 + 280 * 0.1, 2 + 280 * 0.1 * 2
    assert work.of("llc").seconds == pytest.approx((4 * profile + 56 * estimate) / 2)
    levels = 200  # of the standard suite
    assert work.of("probe").seconds == pytest.approx(levels * 0.5 / 2 + 10 * levels * 0.05 + 2 * 1)
    assert work.seconds == pytest.approx(sum(work.of(stage).seconds for stage in STAGES))
    assert work.of("report").seconds == 4 * 3
    fewer = forecast(plan.changed(llc={"match_entropy_of": 2}), COSTS, workers=2)
    assert fewer.count("estimates") == (0, 4 * (5 * 2 + 2))
    assert forecast(plan, COSTS.replace(wait=2), workers=2).seconds == pytest.approx(
        2 * work.seconds
    )


def test_what_is_done_is_left_out(plan: StudyPlan, tmp_path: Path) -> None:
    study = open_or_create(plan, tmp_path / "out")
    for arm in plan.arms:
        run = make_run(study.path / "runs" / f"{arm}-s0", steps=(0, 256, 512, 768, 1024))
        entry = json.loads((run.path / "config.json").read_text())
        entry["train"] = plan.train_config(arm, 0).as_dict()
        (run.path / "config.json").write_text(json.dumps(entry))
        for checkpoint in run.checkpoints:  # no two alike: equal weights are estimated once
            with (checkpoint.path / "policy.safetensors").open("ab") as file:
                file.write(f"{arm}{checkpoint.step}".encode())
    run = study.run("a", 0)
    items = plan_estimates(run, plan.llc, sorted(plan.placements))
    row = {
        name: {"s": "x", "i": 0, "f": 1.0, "b": False}[k]
        for name, k in schema.TABLES["llc"].items()
    }
    for item in items[:7]:
        item.store.put(item.key, {"llc": pd.DataFrame([row])})
    (profile,) = plan_profiles(items, plan.llc)
    profile.store.put(profile.key, {"profile": schema.empty("profile")})
    half = make_run(study.path / "runs" / "b-s1", finished=False, steps=(0, 256))
    half.path.joinpath("progress.csv").write_text("step\n256\n")
    work = forecast(plan, COSTS, study, workers=1)
    assert work.count("runs") == (2, 4) and work.count("estimates") == (7, 60)
    assert work.count("profiles") == (1, 4)
    assert work.of("train").seconds == pytest.approx((1024 + 768) * 0.01)
    other = forecast(plan, COSTS, workers=1).of("llc").seconds
    done = (2 + 280 * 0.1 * 2) + 7 * (2 + 280 * 0.1)
    assert work.of("llc").seconds == pytest.approx(other - done)


def test_stages_that_keep_as_many_checkpoints_keep_the_same() -> None:
    steps = list(range(0, 2400, 100))
    assert evenly(steps, 40) == steps and evenly(steps, 24) == steps
    assert evenly(steps, 12)[-1] == 2300 and len(evenly(steps, 12)) == 12
    assert evenly(steps, 1) == [2300]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400)]
)
def test_budgets(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "0s", "1.5h", "ten minutes", "5m1h"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"budget={text!r}: must be a time such as")):
        parse_budget(text)


def test_a_budget_takes_checkpoints_then_draws_then_controls() -> None:
    plan = load_preset("demo", seed=0)
    plan = plan.replace(train={**plan.train, "checkpoints": "log:24"}).changed(
        llc={"states": ("frozen", "on-policy"), "match_entropy": (1.0,),
             "match_entropy_of": "all", "profile": (5, 50, 500), "profile_of": "last",
             "checkpoints": 40, "draws": 200},
        probe={"checkpoints": 40, "levels": None},
    )  # fmt: skip
    fitted, limit = [plan], int(forecast(plan, COSTS, workers=2).seconds)
    with pytest.raises(InputError) as refused:
        while True:  # each time a second less than the one before takes
            fitted.append(fit(plan, COSTS, f"{limit - 1}s", 2))
            took = forecast(fitted[-1], COSTS, workers=2).seconds
            assert took <= limit - 1
            limit = int(took)
    cuts = [{cut.setting: cut.after for cut in cuts_between(plan, one)} for one in fitted]
    both = [{"llc.checkpoints": n, "probe.checkpoints": n} for n in (20, 16, 12, 8, 6, 4)]
    less: dict[str, Any] = {"llc.draws": 100, "probe.levels": 50}
    fewer = less | {"llc.match_entropy": (), "llc.states": ("frozen",)}
    none = fewer | {"llc.profile": ()}
    assert cuts == [{}, *both[:3], both[2] | less, both[2] | fewer, both[2] | none,
                        *(n | none for n in both[3:])]  # fmt: skip
    least = forecast(fitted[-1], COSTS, workers=2).seconds
    assert f"must be at least {-(-least // 60):.0f}m for this study here" in str(refused.value)
    assert describe_cuts(plan, fitted[-1]) == [
        "llc.states [frozen, on-policy] -> [frozen]: no LLC on on-policy states",
        "llc.draws 200 -> 100: errors of LLCs 1.4 times as large",
        "llc.match_entropy [1.0] -> []: no control for entropy",
        "llc.checkpoints 40 -> 4: LLC at 4 of 24 checkpoints of a run; "
        "under 6 no transition can be found",
        f"llc.profile [{', '.join(map(str, plan.llc.profile))}] -> []: no profile over resolutions",
        "probe.levels the suite's -> 50: intervals of probes 1.4 times as wide",
        "probe.checkpoints 40 -> 4: probes at 4 of 24 checkpoints of a run; "
        "under 6 no transition can be found",
    ]


def test_a_budget_spares_what_a_hypothesis_is_about(plan: StudyPlan) -> None:
    (claim,) = plan.hypothesis
    plan = plan.replace(hypothesis=(claim.replace(step=256),))
    whole_time = forecast(plan, COSTS).seconds
    cheap = fit(plan, COSTS, f"{int(whole_time / 2)}s", 1)
    assert cheap.llc.draws == 100 and cheap.llc.states == ("frozen", "on-policy")
    with pytest.raises(InputError):  # of 4 checkpoints the one at 256 would not be
        fit(plan, COSTS, f"{int(whole_time / 4)}s", 1)
    free = plan.replace(hypothesis=(claim,))
    assert fit(free, COSTS, f"{int(forecast(cheap, COSTS).seconds * 0.85)}s", 1) is not None


def test_a_budget_is_chosen_once_and_kept(
    plan: StudyPlan, measured: list[StudyPlan], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    limit = f"{int(forecast(plan, COSTS).seconds * 0.8)}s"
    first = within_budget(plan, out, limit, 0, None)
    assert first.plan != plan and len(measured) == 1
    open_or_create(first.plan, out, first.record)
    known = json.loads((out / "study.json").read_text())
    assert known["budget"]["limit"] == limit
    assert known["settings"]["llc"]["draws"] == first.plan.llc.draws == 100
    for budget in (None, limit):  # the same command, with the budget or without
        again = within_budget(plan, out, budget, 0, None)
        assert again.plan == first.plan and again.budget == limit
        open_or_create(again.plan, out)
    assert len(measured) == 1
    with pytest.raises(InputError, match=f"budget='5h': must be '{limit}', as when the study in"):
        within_budget(plan, out, "5h", 0, None)
    with pytest.raises(InputError, match="holds another study"):
        changed = plan.changed(llc={"draws": 150})
        open_or_create(within_budget(changed, out, None, 0, None).plan, out)
    open_or_create(plan, tmp_path / "free")
    with pytest.raises(InputError, match=r"must be left out: the study in .* begun without one"):
        within_budget(plan, tmp_path / "free", "5h", 0, None)


def test_a_plan_is_printed_and_nothing_written(
    plan: StudyPlan, measured: list[StudyPlan], tmp_path: Path
) -> None:
    lines = describe_plan(plan, tmp_path / "out", None, 0, None)
    assert not (tmp_path / "out").exists() and measured == [plan]
    time = forecast(plan, COSTS).seconds
    assert lines == [
        f"study mine in {tmp_path / 'out'}: arms a, b; seeds 0, 1",
        "  train: 4 runs of 1,024 steps, 20 checkpoints in all; about 41 s",
        "  llc: 60 estimates of 4 chains x (80 + 200) draws, 4 profiles over 3 resolutions; "
        "about 32 min",
        "  probe: 20 checkpoints of 8 probes x 200 levels, 32,000 episodes, and the baselines; "
        "about 5 min",
        "  report: analysis and page; about 12 s",
        f"about {time / 60:.0f} min here with 1 worker, 0 of 98 units done before",
    ]
    limited = describe_plan(plan, tmp_path / "out", f"{int(time * 0.8)}s", 0, None)
    assert limited[-3].endswith(", which chooses settings and stops nothing:")
    assert limited[-2] == "  llc.draws 200 -> 100: errors of LLCs 1.4 times as large"
    open_or_create(plan, tmp_path / "out")
    with pytest.raises(InputError, match="holds another study"):
        describe_plan(plan.replace(seeds=(0,)), tmp_path / "out", None, 0, None)


def test_progress_speaks_of_the_whole_study(
    plan: StudyPlan,
    measured: list[StudyPlan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    for module in (progress, whole):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    study = open_or_create(plan, tmp_path / "out")
    work = forecast(plan, COSTS)
    later = work.seconds - work.of("train").seconds
    monkeypatch.setattr(whole, "LEAST_STEPS", 4096)
    told = WholeStudy(plan, study, 1)
    with progress.as_part(told), progress.meter("training", 4096, unit="steps") as bar:
        bar.update(0)
        now[0] = 16.0
        bar.update(1024)
        assert measured == []  # less than a minute to go: not worth it
        assert "48 s left, 64 steps/s, study: 1 of 98 units)" in capsys.readouterr().err
        now[0] = 82.0  # twice as long as the costs say: what is later takes twice as long, too
        bar.update(4095)
        bar.update(4096)
        assert measured == []
        now[0] = 1000.0
        told.enter("train")
    with progress.as_part(told), progress.meter("training", 4096, unit="steps") as bar:
        bar.update(0)
        now[0] = 1041.0
        bar.update(2048)
        assert "study: 2 of 98 units)" in capsys.readouterr().err
        now[0] = 1100.0
        bar.update(2100)
    assert measured == [plan]  # once, and kept with the study
    pace = 100 / (work.of("train").seconds * 2100 / 4096)
    left = 100 * (4096 - 2100) / 2100 + pace * later
    assert told.left(2100 / 4096) == pytest.approx(left)
    assert f"study: 2 of 98 units, {left / 3600:.1f} h left)" in capsys.readouterr().err
    assert WholeStudy(plan, study, 1).costs == COSTS
    monkeypatch.setattr(whole, "LEAST_STEPS", 4097)
    assert not WholeStudy(plan, study, 1).measurable
    # Jobs of different length count by their length: a profile, then estimates.
    told.enter("llc")
    told.spent = told.expected = 0.0
    profile, estimate = 2 + 280 * 0.1 * 2, 2 + 280 * 0.1
    stage = 4 * profile + 56 * estimate
    now[0] += 500.0
    share = 4 * profile / stage
    after = work.of("probe").seconds + work.of("report").seconds
    expected = 500 * (1 - share) / share + 500 / (share * stage) * after
    assert told.left(4 / 60) == pytest.approx(expected)


def test_a_study_like_the_demo_is_not_measured_and_tells_a_time_once_there_is_a_pace(
    measured: list[StudyPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(whole.time, "monotonic", lambda: now[0])
    demo, usual = load_preset("demo"), typical(load_preset("demo"))
    study = open_or_create(demo, tmp_path / "out")
    told = WholeStudy(demo, study, 2)
    train, every = told.work.of("train").seconds, told.work.seconds
    now[0] = train  # workers start, however long there is to train
    assert told(0.0, None) == f"study: 0 of {told.work.count()[1]} units"
    now[0] = 1.15 * train
    assert told(0.05, 1000.0) == f"study: 0 of {told.work.count()[1]} units"
    assert whole.known_costs(study) is None
    now[0] = train + 3 * 0.15 * train  # a processor three times slower is so at what is later, too
    later = 3 * (0.85 * train + every - train)
    assert told(0.15, 3 * 0.85 * train).endswith(f"units, {progress.duration(later)} left")
    now[0] = 11 * train
    assert told.left(0.5) == pytest.approx(10 * train + 20 * (every - train))
    # What was told first is known to status, and to the command that goes on.
    kept = WholeStudy(demo, study, 2)
    assert measured == [] and usual is not None and kept.costs is not None and kept.told
    assert kept.costs.replace(wait=1) == usual and kept.costs.wait == pytest.approx(3)
    assert any("units" in line and line.endswith(" left") for line in describe(study.path))
    arms = {arm: {**changes, "network": "small"} for arm, changes in demo.arms.items()}
    assert typical(demo.replace(arms=arms)) is None
    assert typical(demo.replace(llc=demo.llc.replace(losses=("kl", "nll")))) is None


def test_status_tells_the_units_of_the_study_and_the_time_left(
    plan: StudyPlan, tmp_path: Path
) -> None:
    study = open_or_create(plan, tmp_path / "out")
    assert "units: 0 of 98 done" in describe(study.path)
    WholeStudy(plan, study, 2, COSTS)
    lines = [line for line in describe(study.path) if line.startswith("units: 0 of 98 done, about")]
    assert len(lines) == 1 and lines[0].endswith(" left")


def test_this_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real path: every cost is above 0, and nothing is left on disk."""
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["run", "tiny.toml", "--plan", "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
    times = re.findall(r"; about (\d+) (?:s|min)", done.output)
    assert len(times) == 4 and all(int(time) > 0 for time in times)
    assert "0 of 26 units done before" in done.output


def test_a_stage_that_is_done_at_its_first_word_is_whole_for_the_study(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    told = lambda share, left: f"share {share:g}"  # noqa: E731
    with progress.as_part(told), progress.meter("training", 4096, unit="steps") as bar:
        bar.update(4096)
    assert "share 1" in capsys.readouterr().err
