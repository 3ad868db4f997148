"""watch: every checkpoint once, events on disk, warnings only on strong evidence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import detect_transitions
from analysis.datasets import ar1
from rl_slt.errors import InputError
from rl_slt.pipeline.commands import watch
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import UnitStore
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import plan_units

PLAN = LLCPlan(states=("frozen",), n_states=32, chains=2, draws=8, burn_in=2, batch_size=16,
               sampler="baoab", whitening=0)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "r"
    config = agents.TrainConfig(network="small", time_limit=30, steps=16384 * 20)
    spec = NetworkSpec("small", {})
    for step in range(20):
        torch.manual_seed(step)
        save_checkpoint(path, 16384 * step, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": "r", "seed": 0, "kind": "train", "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return path


def fake_estimates(run: Path, values: np.ndarray) -> None:
    """Finished units with planted values, so that no sampling is needed."""
    for unit, value in zip(plan_units(Run(run), PLAN, ["end"]), values, strict=True):
        row = {
            "run": "r", "seed": 0, "step": unit.step, "estimate_id": unit.key, "loss": "kl",
            "reference": "self", "states": "frozen", "params": "all", "sampler": "x",
            "llc": value, "llc_stderr": 0.3, "status": "ok", "message": "",
        }  # fmt: skip
        whole = ("chains", "draws", "burn_in", "n_states", "chain_seed")
        rest = ("step_size", "nbeta", "localization", "llc_stderr_data", "rhat", "ess")
        blank = dict.fromkeys(whole, pd.NA)
        more = dict.fromkeys((*rest, "loss_init", "loss_mean", "seconds"), np.nan)
        extra = {"setting_id": unit.setting, "created": 0.0}
        frame = pd.DataFrame([row | blank | more | extra])
        UnitStore(run, "llc").put(unit.key, {"llc": frame})


def test_a_planted_jump_is_told_once_and_noise_is_not(run: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 20)
    fake_estimates(run, noise + 10 + 20 * (np.arange(20) >= 12))
    units = plan_units(Run(run), PLAN, ["end"])
    told = watch._transitions(Run(run), units, 0.05 / 20)
    assert told and all(e["kind"] == "rise" and e["p_value"] <= 0.0025 for e in told)
    assert all(16384 * 11 <= e["step"] <= 16384 * 13 for e in told)


def test_noise_alone_is_not_told(run: Path) -> None:
    fake_estimates(run, 10 + np.random.default_rng(1).normal(0, 0.3, 20))
    assert watch._transitions(Run(run), plan_units(Run(run), PLAN, ["end"]), 0.05 / 20) == []


def test_following_a_finished_run_estimates_what_is_missing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, np.full(20, 10.0))
    units = plan_units(Run(run), PLAN, ["end"])
    missing = units[3]
    shutil.rmtree(run / "parts" / "llc" / missing.key)
    events = list(watch.follow(run, watch.Watch(share=1.0, plan=PLAN)))
    assert [e["step"] for e in events if e["event"] == "estimate"] == [u.step for u in units]
    assert [e["llc"] == 10 for e in events if e["event"] == "estimate"].count(False) == 1
    assert events[-1] == events[-1] | {"event": "end", "finished": True}
    lines = (run / "watch.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events
    assert len(pd.read_parquet(run / "tables" / "llc.parquet")) == 20


def test_a_watch_that_was_killed_goes_on_where_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    noise = np.random.default_rng(0).normal(0, 0.3, 20)
    fake_estimates(run, noise + 10 + 20 * (np.arange(20) >= 12))
    settings = watch.Watch(share=1.0, plan=PLAN)
    whole = list(watch.follow(run, settings))[:-1]
    assert [e for e in whole if e["event"] == "transition"]
    lines = (run / "watch.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (5, len(whole) - 1, len(whole)):  # events that were written before the kill
        (run / "watch.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:9])
        told = list(watch.follow(run, settings))[:-1]
        marks = sorted(watch._mark(e) for e in whole[:kept] + told)
        assert marks == sorted(watch._mark(e) for e in whole)
        known = watch.read_events(Run(run))
        assert [watch._mark(e) for e in known][:kept] == [watch._mark(e) for e in whole[:kept]]
        assert len(known) == len(whole) + 1  # and the end


def test_between_checkpoints_a_watch_only_looks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, np.full(20, 10.0))
    write_index(run, finished=False)
    polls, worked = [], []

    def wait(seconds: float) -> None:
        polls.append(seconds)
        if polls.count(watch._POLL) == 3:
            write_index(run, finished=True)

    monkeypatch.setattr(watch.time, "sleep", wait)
    for name in ("plan_units", "assemble", "detect_transitions"):
        call = getattr(watch, name)
        noted = lambda *args, name=name, call=call: (worked.append(name), call(*args))[1]  # noqa: E731
        monkeypatch.setattr(watch, name, noted)
    told = list(watch.follow(run, watch.Watch(share=1.0, plan=PLAN)))
    assert len(told) == 21 and polls.count(watch._POLL) == 3
    assert [worked.count(name) for name in ("plan_units", "assemble")] == [1, 1]
    assert worked.count("detect_transitions") == 21  # after each estimate, and once more


def test_an_estimate_rests_all_along_while_the_training_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every step of the chains and at the end; not where no training is left to disturb."""
    monkeypatch.setattr("os.nice", lambda n: 0)
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(watch.Pace, "__call__", lambda self, *progress: calls.append(progress))
    fake_estimates(run, np.full(20, 10.0))
    unit = plan_units(Run(run), PLAN, ["end"])[3]
    shutil.rmtree(run / "parts" / "llc" / unit.key)
    event = watch._estimate(Run(run), unit, watch.Pace(0.1))
    assert event["event"] == "estimate" and event["llc"] != 10
    assert calls == [*[(k, 10) for k in range(1, 11)], ()]
    calls.clear()
    list(watch.follow(run, watch.Watch(share=0.1, plan=PLAN)))  # finished
    assert calls == []


def test_a_run_without_a_transition_is_warned_of_at_most_at_the_stated_rate() -> None:
    """Looked at after each of 20 checkpoints, 40 series of correlated noise: about 5 % or less."""
    looks, warned = 20, 0
    for seed in range(40):
        rng = np.random.default_rng([12, seed])
        values = 10 + ar1(rng, looks, float(rng.choice([0.0, 0.5, 0.8])))
        found = [
            detect_transitions(np.arange(n), values[:n], np.full(n, 0.3), detectors=("derivative",))
            for n in range(8, looks + 1, 2)
        ]
        warned += any((rows["p_value"] <= 0.05 / looks).any() for rows in found if len(rows))
    assert warned <= 5  # more has a chance of 1.4 % at a rate of 5 %


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match=r"share = 0 is not allowed"):
        watch.Watch(share=0)
    with pytest.raises(InputError, match="error_rate = 1"):
        watch.Watch(error_rate=1)
