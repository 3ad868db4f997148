"""`llc --profile`: the table of profiles, what it shares with the estimates, and going on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from analysis import schema
from rl_slt.cli import main
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.status import describe
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import failures
from rl_slt.pipeline.engine.jobs import SerialEngine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import llc
from rl_slt.settings import RESOLUTIONS
from tests.rl_slt.cli.conftest import sound_run

PLAN = LLCPlan(states=("frozen", "on-policy"), n_states=32, chains=2, draws=60, burn_in=20,
               batch_size=16, sampler="baoab", preconditioner_rank=8,
               profile=(50, 125))  # fmt: skip
OPTIONS = """--states frozen --n-states 32 --chains 2 --draws 120 --burn-in 40
--batch-size 24 --sampler baoab --preconditioner-rank 8 --workers 0"""
TIMES = ["seconds", "created"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(sound_run(tmp_path / "run"))


def table(run: Run, name: str) -> pd.DataFrame:
    frame = pd.read_parquet(run.tables / f"{name}.parquet")
    return frame.drop(columns=[column for column in TIMES if column in frame])


def test_the_command_writes_a_profile_of_the_last_checkpoint_and_keeps_it(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["llc", str(run.path), "--profile", "20:125:3", *OPTIONS.split()]
    with pytest.raises(SystemExit) as end:
        main(command)
    said = capsys.readouterr().err
    assert not end.value.code, said
    assert "llc: 2 estimates made, 0 kept" in said
    assert "profile: 1 profiles made, 0 kept" in said
    profile, estimates = table(run, "profile"), table(run, "llc")
    last = estimates[estimates["step"] == 1024].iloc[0]
    number = f"{last['llc']:.2f} ± {last['llc_stderr_total']:.2f}, "
    assert f"at step 1024 (kl, frozen): {number * (last['status'] != 'failed')}" in said
    assert said.rstrip().endswith(f"table: {run.tables / 'llc.parquet'}")
    kept = [name for name in schema.TABLES["profile"] if name not in TIMES]
    assert [*profile.columns[: len(kept)]] == kept
    assert profile["relative_temperature"].to_numpy() == pytest.approx([20, 50, 125], rel=1e-6)
    assert set(profile["step"]) == {1024} and set(profile["states"]) == {"frozen"}
    assert set(profile["arm"]) == {"end"} and profile["estimate_id"].nunique() == 1
    numbers = ["half_d_eff", "half_d_eff_stderr", "free_energy_stderr", "slope", "kl"]
    assert np.isfinite(profile[numbers].astype(float)).all(axis=None)
    assert (np.diff(profile["half_d_eff"]) > 0).all() and (
        np.diff(profile["free_energy"]) > 0
    ).all()
    # The free energy is the integral of the LLC over log nbeta.
    between = trapezoid(profile["llc"], np.log(profile["nbeta"]))
    gained = profile["free_energy"].iloc[-1] - profile["free_energy"].iloc[0]
    assert gained == pytest.approx(between, rel=0.15)

    (mine,) = estimates[estimates["step"] == 1024].to_dict("records")
    (headline,) = profile[profile["headline_id"] == mine["estimate_id"]].to_dict("records")
    shared = ("llc", "llc_stderr", "half_d_eff", "half_d_eff_stderr", "kl", "nbeta", "status",
              "free_energy", "free_energy_stderr", "relative_temperature", "gauge")  # fmt: skip
    assert {name: headline[name] for name in shared} == {name: mine[name] for name in shared}
    others = estimates[estimates["estimate_id"] != mine["estimate_id"]]
    assert others["free_energy"].isna().all() and others["half_d_eff"].notna().all()
    assert "  profile kl on frozen: 1 of 1 checkpoints" in describe(run.path)

    with pytest.raises(SystemExit) as end:
        main(command)
    again = capsys.readouterr().err
    assert not end.value.code and "llc: 0 estimates made, 2 kept" in again
    assert "profile: 0 profiles made, 1 kept" in again
    pd.testing.assert_frame_equal(table(run, "profile"), profile)


def test_an_estimate_is_the_same_with_a_profile_and_without(run: Run, tmp_path: Path) -> None:
    alone, plan = Run(sound_run(tmp_path / "alone" / "run")), PLAN.replace(states=("frozen",))
    assert not llc.estimate_runs([alone], plan.replace(profile=()), SerialEngine())
    assert not (alone.tables / "profile.parquet").exists()
    assert not llc.estimate_runs([run], plan, SerialEngine())
    free = ["free_energy", "free_energy_stderr"]  # an integral: of a profile alone
    mine, theirs = table(run, "llc"), table(alone, "llc")
    pd.testing.assert_frame_equal(mine.drop(columns=free), theirs.drop(columns=free))
    assert mine["free_energy"].notna().tolist() == [False, True]
    assert theirs["free_energy"].isna().all()
    before = sorted((run.path / "parts" / "llc").iterdir())
    # Asked for later, on top of estimates that are there: nothing but the profile is new.
    assert not llc.estimate_runs([alone], plan, SerialEngine())
    pd.testing.assert_frame_equal(table(alone, "llc"), mine)
    pd.testing.assert_frame_equal(table(alone, "profile"), table(run, "profile"))
    assert [p.name for p in before] == [
        p.name for p in sorted((alone.path / "parts/llc").iterdir())
    ]


def test_a_profile_that_fails_is_named_and_costs_no_estimate(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise InputError("planted")

    plan = PLAN.replace(states=("frozen",))
    with monkeypatch.context() as patched:
        patched.setattr(llc, "profile_with", broken)
        (failed,) = llc.estimate_runs([run], plan, SerialEngine())
    assert failed.label == "profile of run at step 1024 (kl, frozen)"
    assert failed.reason == "planted" and [f.item for f in failures(run)] == [failed.label]
    assert table(run, "llc")["step"].tolist() == [0, 1024]
    assert not llc.estimate_runs([run], plan, SerialEngine())
    assert not failures(run) and len(table(run, "profile")) == 2


def test_a_run_without_a_checkpoint_to_estimate_yet_has_no_profile() -> None:
    assert llc.plan_profiles([], PLAN) == []


def test_which_checkpoints_and_states_have_one(run: Run) -> None:
    def planned(**changes: Any) -> list[tuple[int, str, str, bool]]:
        plan = PLAN.replace(match_entropy=(1.0,), losses=("kl", "nll"), **changes)
        found = llc.plan_profiles(llc.plan_estimates(run, plan, ["end"]), plan)
        return [(p.step, p.estimate.loss, p.estimate.states.name, p.asked) for p in found]

    assert planned() == [(1024, "kl", "frozen", True), (1024, "nll", "frozen", True)]
    assert [step for step, *_ in planned(profile_of="all")] == [0, 0, 1024, 1024]
    assert [step for step, *_ in planned(profile_of="2")] == [0, 0, 1024, 1024]
    assert planned(profile_of=1) == planned()
    assert planned(profile=()) == []
    # An estimate at another temperature is no part of the profile, and is made by itself.
    assert {asked for *_, asked in planned(nbeta=None)} == {False}
    assert {asked for *_, asked in planned(profile=(5, 20))} == {False}


def test_which_checkpoints_have_controls_of_entropy(run: Run) -> None:
    def controlled(**changes: Any) -> list[int]:
        plan = PLAN.replace(match_entropy=(1.0,), **changes)
        found = llc.plan_estimates(run, plan, ["end"])
        assert len([e for e in found if e.entropy is None]) == 2 * len(plan.states)
        return [e.step for e in found if e.entropy is not None]

    assert controlled() == controlled(match_entropy_of="all") == [0, 1024]
    assert controlled(match_entropy_of=1) == controlled(match_entropy_of="last") == [1024]
    keys = {llc.plan_estimates(run, PLAN.replace(match_entropy_of=n), ["end"])[0].key
            for n in ("all", 1)}  # fmt: skip
    assert len(keys) == 1


def test_a_profile_depends_on_its_resolutions_and_an_estimate_on_none(run: Run) -> None:
    def keys(**changes: Any) -> tuple[str, str, str]:
        plan = PLAN.replace(**changes)
        estimates = llc.plan_estimates(run, plan, ["end"])
        (profile,) = llc.plan_profiles(estimates, plan)
        return estimates[0].key, profile.key, profile.setting

    same = keys()
    assert keys(profile_of="last") == same
    assert keys(nbeta=None)[1:] == same[1:] != keys(profile=(50, 126))[1:]
    assert keys(profile=(5, 50))[0] == same[0]
    assert all(a != b for a, b in zip(keys(seed=1), same, strict=True))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("default", RESOLUTIONS),
        ("none", ()),
        ("5:500:3", (5, 50, 500)),
        ("5:500:5", (5, 15.81, 50, 158.1, 500)),
        ("50,5", (5, 50)),
        ([50, 5, 50], (5, 50)),
    ],
)
def test_resolutions_are_read_from_text_and_lists(given: Any, read: tuple[float, ...]) -> None:
    assert LLCPlan(profile=given).profile == pytest.approx(read)


@pytest.mark.parametrize(
    "given", ["5:500", "5:500:1", "500:5:3", "0:5:3", "5:inf:3", "5:nan:3", "5:500:51", "a:b:c",
              "5:500:2.5", "runs/b", "5,-1", [0], ["x"], 5, True],
)  # fmt: skip
def test_wrong_resolutions_are_refused_in_one_line(given: Any) -> None:
    with pytest.raises(InputError) as error:
        LLCPlan(profile=given)
    assert str(error.value) == (
        f"profile={given!r}: must be LOW:HIGH:COUNT, as 5:500:5, 0 < LOW < HIGH, COUNT from 2 to "
        "50; runs are named before an option without a value"
    )


def test_a_profile_needs_a_localizer() -> None:
    with pytest.raises(InputError, match=r"localization=0\.0: must be above 0 with a profile"):
        LLCPlan(profile=RESOLUTIONS, localization=0)
