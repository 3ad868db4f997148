"""calibrate finds a setting for a run, goes on where it stopped, and says what it recommends."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from rl_slt.cli import main
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.calibrate import chosen_estimates, command_line
from rl_slt.pipeline.disk.layout import Run, Study
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.versions import STAGES
from tests.rl_slt.cli.conftest import change_config, sound_run

SETTINGS = """--n-states 48 --chains 2 --draws 32 --burn-in 16 --batch-size 36
--preconditioner-rank 0 --localizations 300 --nbeta-factors 2 --sampler baoab"""
ONE = LLCPlan(states=("frozen",))


def results(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "calibration" / "calibration.parquet").drop(columns="seconds")


def test_a_run_is_calibrated_and_finished_estimates_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sound_run(tmp_path / "good")
    monkeypatch.chdir(tmp_path)
    argv = ["calibrate", "good", *SETTINGS.split()]
    with pytest.raises(SystemExit) as end:
        main([*argv, "--workers", "0"])
    out = capsys.readouterr().out
    known = json.loads((run / "calibration" / "calibration.json").read_text())
    assert end.value.code == (0 if known["sound"] else 1)
    assert "rl-slt llc good --n-states 48" in out
    assert "--loss kl --states frozen --localization 300" in known["command"]
    assert known["reason"] in out
    assert (run / "calibration" / "plateau.png").read_bytes()[1:4] == b"PNG"
    first = results(run)
    assert first["policy"].drop_duplicates().tolist() == ["good@0", "good@1024"]
    assert sorted(set(first["varied"])) == ["control", "half-step", "localization", "nbeta"]
    assert first["step_size"].iloc[2] == first["step_size"].iloc[0] / 2
    assert set(first["version"]) == {STAGES["calibrate"]} and set(first["device"]) == {"cpu"}
    assert set(first["arm"]) == {Run(run).arm} and set(first["precision"]) == {"float32"}
    assert not (run / "tables").exists()  # the estimates of a sweep are no results of the run

    units = sorted((run / "parts" / "calibrate").glob("*.json"))
    assert len(units) == len(first) == 8
    units[3].unlink()
    times = {u: u.stat().st_mtime_ns for u in units if u.exists()}
    shutil.rmtree(run / "calibration")
    with pytest.raises(SystemExit) as again:
        main([*argv, "--workers", "1"])
    assert (capsys.readouterr().out, again.value.code) == (out, end.value.code)
    pd.testing.assert_frame_equal(results(run), first)
    assert {u: u.stat().st_mtime_ns for u in times} == times and units[3].exists()


ASKED = [
    ("regret", ["--nbeta", "40"]),  # its curvature at these weights is not positive
    pytest.param("surrogate", ["--states", "on-policy:behind"], marks=pytest.mark.slow),
    pytest.param("value", [], marks=pytest.mark.slow),
    ("nll", ["--reference", "last"]),
]


@pytest.mark.parametrize(("loss", "more"), ASKED)
def test_every_loss_that_llc_takes_can_be_calibrated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loss: str,
    more: list[str],
) -> None:
    run = sound_run(tmp_path / "good")
    change_config(run, time_limit=8)
    monkeypatch.chdir(tmp_path)
    small = "--n-states 64 --chains 2 --draws 8 --burn-in 2 --preconditioner-rank 0 --sampler baoab"
    argv = [*small.split(), "--localizations", "3000", "--nbeta-factors", "", "--loss", loss]
    argv += ["--workers", "0"]
    with pytest.raises(SystemExit) as end:
        main(["calibrate", "good", *argv, *more])
    err = capsys.readouterr().err
    table = results(run)
    cells = {"localization", "control"}
    assert cells <= set(table["varied"]) <= cells | {"half-step"}, err
    assert all((table["varied"] == cell).sum() == 2 for cell in cells)
    assert set(table["loss"]) == {loss} and set(table["status"]) <= {"ok", "suspect", "failed"}
    used = "frozen" if loss == "nll" else "on-policy:behind" if loss == "surrogate" else "on-policy"
    assert set(table["states"]) == {used}
    if loss == "regret":  # samples are episodes, of 32 games, fewer than a batch of states
        assert set(table.loc[table["varied"] == "localization", "n_states"]) == {32}
    found = json.loads((run / "calibration" / "calibration.json").read_text())
    assert f"--loss {loss}" in found["command"]
    assert end.value.code == (0 if found["sound"] else 1)
    assert ("--states on-policy" in found["command"]) == (loss != "nll")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    for arm in ("end", "behind"):
        for seed in (0, 1):
            run = sound_run(tmp_path / "runs" / f"{arm}-s{seed}", (0, 10, 20, 30))
            entry = json.loads((run / "config.json").read_text())
            (run / "config.json").write_text(json.dumps(entry | {"arm": arm, "seed": seed}))
    (tmp_path / "study.json").write_text('{"name": "x"}')
    return Study(tmp_path)


def test_a_study_is_calibrated_on_one_run_of_each_arm(study: Study) -> None:
    units = chosen_estimates(study, ONE, ())
    # The runs of this study share their weights: those of the other arm are not taken twice.
    assert [*units] == ["behind-s0@0", "behind-s0@20", "behind-s0@30"]
    run = study.path / "runs" / "end-s0"
    sound_run(run, (50, 60))  # drawn from the start again: 60 has the weights of 10
    assert [*chosen_estimates(study, ONE, ())] == [*units, "end-s0@60"]
    assert [*chosen_estimates(study, ONE, ("end-s1",))] == ["end-s1@0", "end-s1@20", "end-s1@30"]
    with pytest.raises(InputError, match="run='moon': must be one of behind-s0, behind-s1"):
        chosen_estimates(study, ONE, ("moon",))


def test_a_unit_depends_on_its_checkpoint_and_not_on_the_run_alone(study: Study) -> None:
    run = Run(study.path / "runs" / "end-s0")
    a, b, c = chosen_estimates(run, ONE, ()).values()
    assert len({a.key, b.key, c.key}) == 3
    assert a.states == b.states


def test_the_command_repeats_what_was_asked_for() -> None:
    line = command_line(Path("a b"), {"n_states": 48, "losses": ("nll",)}, 30.0)
    assert line == "rl-slt llc 'a b' --n-states 48 --loss nll --localization 30"


MISTAKES = [
    (["gone"], "no such run or study: gone"),
    (["good", "--localizations", "30,x"], "localizations='x': must be a number"),
    (["good", "--localizations", "30,-1"], "localizations.1=-1.0: must be a finite number above 0"),
    (["good", "--localizations", ""], "localizations=(): must be a list of at least 1"),
    (
        ["good", "--loss", "regret", "--states", "frozen"],
        "states='frozen': must be on-policy, without a filter: loss 'regret' needs",
    ),
    (
        ["good", "--loss", "value", "--reference", "last"],
        "reference='last': must be self: loss 'value' has no other",
    ),
    (["good", "--loss", "nll", "--exact"], "--exact needs a fixed loss, but nll redraws"),
    (["good", "--states", "moon"], "states='moon': must be on-policy or frozen"),
    (["good", "--sampler", "moon"], "sampler='moon': must be one of auto"),
    (["good", "--run", "moon"], "run='moon': must be one of good"),
    (["good", "--exact", "--exact-states", "0"], "exact_states=0"),
]


@pytest.mark.parametrize(("argv", "message"), MISTAKES, ids=lambda v: " ".join(v)[:40])
def test_a_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    sound_run(tmp_path / "good")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["calibrate", *argv, "--workers", "0"])
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    assert err.count("\n") == 1 and message in err
    assert not (tmp_path / "good" / "calibration").exists()


def test_a_damaged_checkpoint_leaves_the_others_and_all_damaged_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = sound_run(tmp_path / "good")
    monkeypatch.chdir(tmp_path)
    argv = ["calibrate", "good", *SETTINGS.split(), "--nbeta-factors", "", "--workers", "0"]
    for n, weights in enumerate(sorted(run.glob("checkpoints/0*/policy.safetensors"))):
        weights.write_bytes(weights.read_bytes()[:-7])
        with pytest.raises(SystemExit) as end:
            main(argv)
        out, err = capsys.readouterr()
        failed = [line for line in err.splitlines() if "good@0 (localization)" in line]
        assert len(failed) == 1 and "Traceback" not in err
        assert end.value.code == (1, 2)[n]
        assert ("of 2 estimates not ok" in out) == (n == 0)
