"""The whole path on real CoinRun, as a process: levels to report, killed, resumed, repeated."""

import json
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from agents.networks import strided
from analysis import schema
from analysis.probes import SUITES
from analysis.report import load_study
from rl_slt import PolicyData
from rl_slt.cli import main
from rl_slt.pipeline.commands.status import describe
from rl_slt.pipeline.disk.layout import Run, open_run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import llc
from rl_slt.pipeline.stages.analyse import analyse_run
from rl_slt.pipeline.stages.llc import load_inputs, plan_estimates
from rl_slt.pipeline.states import StateSetSpec
from tests.forked import rl_slt
from tests.rl_slt.other_device import other_device
from tests.rl_slt.pipeline.conftest import STUDY

TIMES = ["seconds", "created"]


def tables(study: Path) -> dict[str, pd.DataFrame]:
    found = {}
    for path in sorted(study.glob("runs/*/tables/*.parquet")) + sorted(study.glob("tables/*")):
        frame = pd.read_parquet(path)
        frame = frame.drop(columns=[c for c in TIMES if c in frame])
        found[str(path.relative_to(study))] = frame
    return found


def assert_same(a: Path, b: Path) -> None:
    ours, theirs = tables(a), tables(b)
    assert [*ours] == [*theirs]
    for name, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[name], obj=name)


def test_the_command_tells_its_findings_and_where_the_report_is(place: Path) -> None:
    said = json.loads((place / "said.json").read_text())
    lines = said["out"].strip().splitlines()
    about = [line.partition(":")[0] for line in lines]
    assert about == ["Goals", "LLC", "Link", "Verdict", "report"]
    assert lines[-1] == f"report: {place / 'a' / 'report.html'}"
    assert "gym" not in said["err"].lower() and "Traceback" not in said["err"]


def test_every_checkpoint_is_estimated_twice_and_probed(study: Path) -> None:
    for arm in ("end", "behind"):
        run = study / "runs" / f"{arm}-s0"
        steps = sorted(int(p.name) for p in (run / "checkpoints").glob("0*"))
        assert len(steps) >= 3 and steps[0] == 0 and steps[-1] == 512
        llc = pd.read_parquet(run / "tables" / "llc.parquet")
        assert [*llc.columns[: len(schema.TABLES["llc"])]] == [*schema.TABLES["llc"]]
        for _, rows in llc.groupby("states"):
            assert rows["step"].tolist() == steps
        assert set(llc["states"]) == {"frozen", "on-policy"}
        assert (llc["loss_init"] == 0).all()  # KL to itself: an exact zero baseline
        assert (llc["loss_init_stderr"] == 0).all()
        assert (llc["loss_stderr"] * llc["nbeta"]).to_numpy() == pytest.approx(
            llc["llc_stderr"].to_numpy(), nan_ok=True
        )
        draws = pd.read_parquet(run / "tables" / "llc_draws.parquet")
        assert len(draws) == len(llc) * 2 * 8
        one = llc.iloc[0]
        mine = draws[draws["estimate_id"] == one["estimate_id"]]["loss_value"]
        assert mine.mean() * one["nbeta"] == pytest.approx(one["llc"], rel=1e-6)
        episodes = pd.read_parquet(run / "tables" / "episodes.parquet")
        agent = episodes[episodes["policy"] == "agent"]
        assert set(agent["step"]) == set(steps)
        assert set(agent["probe"]) >= {"end", "ground", "behind", "none", "end@mid", "none@mid"}
        assert "coin-blind" in set(episodes["policy"])
        assert json.loads((run / "clips" / "clips.json").read_text())


def test_every_row_of_every_table_tells_its_arm_and_version(study: Path) -> None:
    found = tables(study)
    assert "runs/end-s0/tables/llc_draws.parquet" in found
    for name, frame in found.items():
        assert frame[["arm", "version"]].notna().all(axis=None), name


@pytest.mark.browser
def test_the_report_is_drawn_from_the_tables(chromium: Any, study: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    chromium.get_log("browser")
    chromium.get((study / "report.html").as_uri())
    drawn = "return document.documentElement.dataset.drawn === 'true'"
    WebDriverWait(chromium, 60).until(lambda b: b.execute_script(drawn))
    chromium.execute_async_script("R.unfold(true).then(arguments[0])")
    assert chromium.get_log("browser") == []
    figures = chromium.execute_script("return R.figures().map(p => p.dataset.drawn)")
    assert len(figures) >= 4 and set(figures) == {"true"}
    shown = chromium.execute_script(
        "return document.querySelector('[data-figure=llc]').data"
        ".flatMap(t => t.y || []).filter(y => y !== null)"
    )
    llc = pd.read_parquet(study / "tables" / "llc.parquet")
    valid = llc["llc"].dropna()  # an estimate that failed has no number
    assert len(valid) and set(valid) <= set(shown)


def test_the_frozen_set_is_the_same_for_all_arms(study: Path) -> None:
    llc = pd.read_parquet(study / "tables" / "llc.parquet")
    frozen = llc[llc["states"] == "frozen"]
    assert frozen["setting_id"].nunique() == 1
    at_start = frozen[frozen["step"] == 0]  # equal weights on equal states: equal estimates
    assert at_start["run"].nunique() == 2 and at_start["llc"].nunique() == 1


def items(study: Path) -> dict[Path, int]:
    """The finished work items, with the times at which they were written."""
    found = [p for p in study.glob("runs/*/parts/*/*") if p.is_dir() and p.name[0] != "."]
    return {path: path.stat().st_mtime_ns for path in found}


def test_killed_at_random_moments_it_goes_on_on_workers_and_repeats_nothing(
    study: Path, place: Path, tmp_path: Path
) -> None:
    """Killed in the midst of LLC and probes, at a random moment after some more items each time.

    One run of the study is as if it had just been trained (kills of a training are tried with it).
    The other is lost before the last command, which trains, estimates and probes it on workers.
    """
    chance = random.Random(time.time_ns())
    copy = shutil.copytree(study, tmp_path / "c")
    for name in ("runs/end-s0/parts", "runs/end-s0/tables", "tables"):
        shutil.rmtree(copy / name)
    (copy / "report.html").unlink()
    command = ["run", place / "tiny.toml", "--out", "c"]
    for kinds in (("llc",), ("baselines", "probe")):
        finished = items(copy)
        process = rl_slt(*command, "--workers", "0", cwd=tmp_path)
        while not any(p.parent.name in kinds for p in items(copy).keys() - finished.keys()):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        now = items(copy)
        assert now.keys() > finished.keys()
        assert {path: now[path] for path in finished} == finished
    assert len(items(copy)) < len(items(study))
    shutil.rmtree(copy / "runs" / "behind-s0")
    finished = items(copy)
    done = rl_slt(*command, "--workers", "2", cwd=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    now = items(copy)
    assert {path: now[path] for path in finished} == finished
    assert_same(study, copy)


def test_another_setting_adds_rows_and_the_old_stay(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(study, tmp_path / "d")
    before = pd.read_parquet(copy / "runs/end-s0/tables/llc.parquet")
    options = (
        "--states frozen --chains 3 --draws 8 --burn-in 4 --batch-size 16 --n-states 64 "
        "--workers 0 --sampler baoab --preconditioner-rank 0"
    )
    with pytest.raises(SystemExit) as end:
        main(["llc", "d/runs/end-s0", *options.split()])
    assert end.value.code == 0
    after = pd.read_parquet(copy / "runs/end-s0/tables/llc.parquet")
    assert len(after) == len(before) + before["step"].nunique()
    assert set(before["estimate_id"]) < set(after["estimate_id"])


def test_a_damaged_checkpoint_costs_its_own_units_alone(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(study, tmp_path / "e") / "runs" / "behind-s0"
    shutil.rmtree(copy / "parts" / "llc")
    broken = sorted((copy / "checkpoints").glob("0*"))[1] / "policy.safetensors"
    broken.write_bytes(broken.read_bytes()[:-7])
    with pytest.raises(SystemExit) as end:
        main(["llc", "e", "--workers", "0"])
    err = capsys.readouterr().err
    assert end.value.code == 1 and "Traceback" not in err
    failures = [line for line in err.splitlines() if line.startswith("rl-slt: failed:")]
    assert len(failures) == 2 and all(f"step {int(broken.parent.name)}" in f for f in failures)
    llc = pd.read_parquet(copy / "tables" / "llc.parquet")
    steps = [int(p.name) for p in (copy / "checkpoints").glob("0*")]
    assert set(llc["step"]) == set(steps) - {int(broken.parent.name)}


def test_status_tells_what_is_there(study: Path) -> None:
    said = "\n".join(describe(study))
    assert "training: done, 512 steps" in said
    assert "3 of 3 checkpoints" in said
    assert re.search(r"^units: (\d+) of \1 done$", said, re.MULTILINE)


def test_a_folder_of_another_study_is_left_alone(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(study, tmp_path / "a")
    (tmp_path / "other.toml").write_text(STUDY.replace("steps = 512", "steps = 1024"))
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    with pytest.raises(SystemExit) as end:
        main(["run", "other.toml", "--out", "a"])
    err = capsys.readouterr().err
    assert end.value.code == 2 and "a holds another study" in err and err.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == before


def test_the_return_is_discounted_as_in_training(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = LLCPlan(losses=("regret:clip=5",), states=("on-policy",), n_states=64)
    run = Run(shutil.copytree(min((study / "runs").iterdir()), tmp_path / "run"))
    trained = run.training.replace(gamma=0.9)
    monkeypatch.setattr(Run, "training", trained)
    (unit, *_) = plan_estimates(run, plan, ["end"])
    loss = load_inputs(unit)[2]
    assert (loss.discount, loss.clip) == (0.9, 5)


def test_a_copied_run_has_the_name_of_its_folder(study: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(min((study / "runs").iterdir()), tmp_path / "copy"))
    shown = load_study(run.path)
    assert set(shown.tables["llc"]["run"]) == {"copy"}
    assert not [line for line in shown.missing if "of other runs" in line]
    llc.assemble(run)  # as `rl-slt llc` does, which leaves the tables of the probes as they were
    analyse_run(run)
    for name in ("llc", "associations"):
        named = set(pd.read_parquet(run.tables / f"{name}.parquet")["run"])
        assert named - {schema.ALL_RUNS} == {"copy"}, name


def test_the_run_that_one_stands_in_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "a")
    assert open_run(Path(".")).name == "a"
    monkeypatch.chdir(tmp_path / "a" / "checkpoints")
    assert open_run(Path("..")).name == "a"


def test_states_of_a_probe_are_the_checkpoints_own_on_the_probes_levels(
    study: Path, tmp_path: Path
) -> None:
    plan = LLCPlan(states=("probe:behind", "on-policy:behind"), n_states=64)
    run = Run(shutil.copytree(min((study / "runs").iterdir()), tmp_path / "run"))
    units = plan_estimates(run, plan, ["end"])
    mine, trained, later = units[0], units[1], units[-2]
    probed = SUITES["standard"].seeds
    assert isinstance(mine.states, StateSetSpec) and isinstance(trained.states, StateSetSpec)
    assert mine.states.levels == (probed[0], probed[-1] + 1) != trained.states.levels
    assert mine.states.placements == trained.states.placements == ("behind",)
    first, second, last = (load_inputs(unit)[1] for unit in (mine, trained, later))
    assert isinstance(first, PolicyData)
    assert isinstance(second, PolicyData) and isinstance(last, PolicyData)
    assert len(first) == 64
    assert not torch.equal(first.states, second.states)
    assert not torch.equal(first.states, last.states)


def test_estimates_are_named_by_the_kind_of_device_alone(study: Path) -> None:
    run = Run(min((study / "runs").iterdir()))

    def key(device: str) -> str:
        return plan_estimates(run, LLCPlan(device=device), ["end"])[0].key

    assert key("cuda") == key("cuda:1") != key("cpu")
    assert "device" not in LLCPlan().values()  # what was made before there was a choice stays valid
    assert LLCPlan(device="cuda:1").values()["device"] == "cuda"


@pytest.mark.filterwarnings("ignore:grad and param do not obey")  # simulated ones keep strides
def test_a_checkpoint_and_its_reference_are_brought_to_the_device(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(min((study / "runs").iterdir()), tmp_path / "run")
    run = Run(tmp_path / "run")
    plan = LLCPlan(
        states=("frozen",), reference="last", n_states=64, sampler="sgld", chains=2, draws=8,
        burn_in=4, batch_size=16, preconditioner_rank=0, precision="float32",
    )  # fmt: skip
    here = plan_estimates(run, plan, ["end"])[0]
    there = plan_estimates(run, plan.replace(device="cuda"), ["end"])[0]
    llc.make(here)
    with other_device(monkeypatch) as device:
        monkeypatch.setattr(llc, "check_device", lambda name: device)
        monkeypatch.setattr(strided, "compute_dtype", lambda x: torch.float32)  # no autocast there
        policy, _, loss = load_inputs(there)
        for module in (policy, loss.reference):
            assert {p.device for p in module.parameters()} == {device}
        llc.make(there)
    llc.assemble(run)
    table = pd.read_parquet(run.tables / "llc.parquet").set_index("estimate_id")
    one, two = table.loc[here.key], table.loc[there.key]
    assert one["loss_mean"] == pytest.approx(two["loss_mean"], rel=0.02)
    assert (one["device"], two["device"]) == ("cpu", device.type)
    assert one["loss_init"] == pytest.approx(two["loss_init"], rel=1e-4)
