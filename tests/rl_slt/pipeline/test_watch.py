"""watch: every checkpoint once, events on disk, warnings only on strong evidence."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_series import ar1

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import MIN_POINTS, schema
from analysis.transitions import detect
from analysis.transitions.search import search
from rl_slt.errors import InputError
from rl_slt.pipeline.commands import watch
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import ItemStore
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, plan_estimates

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import analysis_transitions as benchmark

PLAN = LLCPlan(states=("frozen",), n_states=32, chains=2, draws=8, burn_in=2, batch_size=16,
               sampler="baoab", preconditioner_rank=0)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "r"
    config = agents.TrainConfig(network="patch", time_limit=30, steps=16384 * 19,
                                checkpoints="linear:20")  # fmt: skip
    spec = NetworkSpec("patch", {})
    for step in range(20):
        torch.manual_seed(step)
        save_checkpoint(path, 16384 * step, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": "r", "seed": 0, "kind": "train", "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return path


def fake_estimates(run: Path, values: np.ndarray) -> None:
    """Finished estimates with planted values, so that no sampling is needed."""
    for unit, value in zip(plan_estimates(Run(run), PLAN, ["end"]), values, strict=True):
        fake_estimate(run, unit, value)


def fake_estimate(run: Path, unit: Estimate, value: float) -> None:
    kinds: dict[str, Any] = {"s": "", "i": pd.NA, "f": np.nan}
    row = {name: kinds[kind] for name, kind in schema.TABLES["llc"].items()} | {
        "run": "r", "step": unit.step, "estimate_id": unit.key, "loss": "kl", "reference": "self",
        "states": "frozen", "params": "all", "llc": value, "llc_stderr": 0.3, "status": "ok",
        "setting_id": unit.setting, "created": 0.0, "nbeta": 500.0, "localization": 300.0,
        "relative_temperature": 50.0, "gauge": "balanced", "actions": "distinct", "n_states": 32,
    }  # fmt: skip
    ItemStore(run, "llc").put(unit.key, {"llc": pd.DataFrame([row])})


def noise_with_a_jump() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, 20) + 10 + 20 * (np.arange(20) >= 12)


def test_a_planted_jump_is_reported_at_the_level_of_all_tests_together(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, noise_with_a_jump())
    events = watch.follow(run, watch.Watch(share=1.0, plan=PLAN))
    found = [e for e in events if e["event"] == "transition"]
    assert found and all(e["kind"] == "rise" and e["p_value"] <= e["level"] for e in found)
    assert {e["level"] for e in found} == {0.05 / (20 - MIN_POINTS + 1)}
    assert all(16384 * 11 <= e["step"] <= 16384 * 13 for e in found)
    assert all(e["seen"] == 16384 * 19 for e in found)  # all estimates were there before


def test_the_levels_of_all_tests_that_are_made_add_up_to_at_most_the_error_rate(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise alone comes in through `follow`: no warning, and no more tests than it divides by."""
    monkeypatch.setattr("os.nice", lambda n: 0)
    values = 10 + np.random.default_rng(1).normal(0, 0.3, 20)
    make = lambda unit, throttle: fake_estimate(run, unit, values[unit.step // 16384])  # noqa: E731
    monkeypatch.setattr(watch, "make", make)
    tests: dict[int, float] = {}  # the same series once more is the same test

    def noted(points: Any, ramps: Any, level: float) -> Any:
        tests[len(points)] = level
        return search(points, ramps, level)

    monkeypatch.setattr(detect, "search", noted)
    events = list(watch.follow(run, watch.Watch(share=1.0, plan=PLAN)))
    assert [e["event"] for e in events] == ["estimate"] * 20 + ["end"]
    assert set(tests) == set(range(MIN_POINTS, 21))  # fewer points are not tested
    assert sum(tests.values()) == pytest.approx(0.05)


def test_following_a_finished_run_estimates_what_is_missing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, np.full(20, 10.0))
    units = plan_estimates(Run(run), PLAN, ["end"])
    missing = units[3]
    shutil.rmtree(run / "parts" / "llc" / missing.key)
    events = list(watch.follow(run, watch.Watch(share=1.0, plan=PLAN)))
    assert [e["step"] for e in events if e["event"] == "estimate"] == [u.step for u in units]
    assert [e["llc"] == 10 for e in events if e["event"] == "estimate"].count(False) == 1
    setting = "relative temperature 50, balanced weights, distinct actions, 32 states"
    assert events[0]["setting"] == setting
    assert events[-1] == events[-1] | {"event": "end", "finished": True}
    lines = (run / "watch.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events
    assert len(pd.read_parquet(run / "tables" / "llc.parquet")) == 20


def mark(event: dict[str, Any]) -> str:
    return str(event.get("estimate_id") or f"{event.get('kind')} {event.get('step')}")


def test_a_watch_that_was_killed_goes_on_where_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, noise_with_a_jump())
    settings = watch.Watch(share=1.0, plan=PLAN)
    whole = list(watch.follow(run, settings))[:-1]
    assert [e for e in whole if e["event"] == "transition"]
    lines = (run / "watch.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (5, len(whole) - 1, len(whole)):  # events that were written before the kill
        (run / "watch.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:9])
        reported = list(watch.follow(run, settings))[:-1]
        assert sorted(map(mark, whole[:kept] + reported)) == sorted(map(mark, whole))
        known = watch.read_events(Run(run))
        assert [*map(mark, known)][:kept] == [*map(mark, whole[:kept])]
        assert len(known) == len(whole) + 1  # and the end


def test_between_checkpoints_a_watch_only_looks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.nice", lambda n: 0)
    fake_estimates(run, np.full(20, 10.0))
    write_index(run, finished=False)
    polls: list[float] = []
    worked: list[str] = []

    def wait(seconds: float) -> None:
        polls.append(seconds)
        if polls.count(watch._POLL) == 3:
            write_index(run, finished=True)

    monkeypatch.setattr(watch.time, "sleep", wait)
    for name in ("plan_estimates", "assemble", "detect_transitions"):
        call = getattr(watch, name)

        def noted(*args: Any, name: str = name, call: Any = call, **kw: Any) -> Any:
            worked.append(name)
            return call(*args, **kw)

        monkeypatch.setattr(watch, name, noted)
    reported = list(watch.follow(run, watch.Watch(share=1.0, plan=PLAN)))
    assert len(reported) == 21 and polls.count(watch._POLL) == 3
    assert [worked.count(name) for name in ("plan_estimates", "assemble")] == [1, 1]
    assert worked.count("detect_transitions") == 21  # after each estimate, and once more


def test_an_estimate_rests_all_along_while_the_training_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every step of the chains and at the end; not where no training is left to disturb."""
    monkeypatch.setattr("os.nice", lambda n: 0)
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(watch.Throttle, "__call__", lambda self, *progress: calls.append(progress))
    fake_estimates(run, np.full(20, 10.0))
    unit = plan_estimates(Run(run), PLAN, ["end"])[3]
    shutil.rmtree(run / "parts" / "llc" / unit.key)
    event = watch._estimate(unit, watch.Throttle(0.1))
    assert event["event"] == "estimate" and event["llc"] != 10
    assert calls == [*[(k, 10) for k in range(1, 11)], ()]
    calls.clear()
    list(watch.follow(run, watch.Watch(share=0.1, plan=PLAN)))  # finished
    assert calls == []


def test_a_transition_is_reported_once_at_the_edge_and_once_when_confirmed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jump at checkpoint 12 comes in point by point: seen at once, confirmed one later."""
    monkeypatch.setattr("os.nice", lambda n: 0)
    values = noise_with_a_jump()
    make = lambda unit, throttle: fake_estimate(run, unit, values[unit.step // 16384])  # noqa: E731
    monkeypatch.setattr(watch, "make", make)
    events = watch.follow(run, watch.Watch(share=1.0, plan=PLAN))
    found = [(e["seen"] // 16384, e["status"]) for e in events if e["event"] == "transition"]
    assert found == [(12, "at the edge, unconfirmed"), (13, "")]


def test_a_warning_tells_how_far_training_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training saves three more checkpoints while the one of the jump is estimated."""
    monkeypatch.setattr("os.nice", lambda n: 0)
    values, later = noise_with_a_jump(), run / "later"
    for step in range(13, 20):
        name = f"{16384 * step:012d}"
        later.mkdir(exist_ok=True)
        (run / "checkpoints" / name).rename(later / name)

    def make(unit: Estimate, throttle: object) -> None:
        fake_estimate(run, unit, values[unit.step // 16384])
        if unit.step == 16384 * 12:
            for name in sorted(path.name for path in later.iterdir())[:3]:
                (later / name).rename(run / "checkpoints" / name)

    monkeypatch.setattr(watch, "make", make)
    events = watch.follow(run, watch.Watch(share=1.0, plan=PLAN))
    first = next(event for event in events if event["event"] == "transition")
    assert (first["seen"], first["trained"]) == (16384 * 12, 16384 * 15)


def test_runs_without_a_transition_are_warned_of_at_most_at_the_stated_rate() -> None:
    """Noise of correlation 0.5 through `follow` itself; more runs are in the benchmark."""
    with benchmark.watched_run(12) as follow:
        warned = [
            benchmark.first_warning(follow(10 + noise, np.ones(12)))
            for noise in ar1(np.random.default_rng(12), 12, 0.5, size=60)
        ]
    assert np.isfinite(warned).sum() <= 7  # 2 % of draws at a true rate of 5 %


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match=r"share=0: must be a finite number above 0 and at most 1"):
        watch.Watch(share=0)
    with pytest.raises(InputError, match=r"error_rate=1: must be .* above 0 and below 1"):
        watch.Watch(error_rate=1)


def test_at_most_so_many_checkpoints_are_estimated_and_the_last_is_among_them(run: Path) -> None:
    steps = lambda n: [  # noqa: E731
        item.step // 16384
        for item in plan_estimates(Run(run), PLAN.replace(checkpoints=n), ["end"])
    ]
    assert steps(40) == list(range(20)) and steps(1) == [19]
    assert steps(4) == [0, 6, 13, 19]
    shutil.rmtree(run / "checkpoints" / f"{16384 * 19:012d}")
    assert steps(4) == [0, 6, 12, 18]  # of a run that ended, those that are there
    write_index(run, finished=False)
    assert steps(4) == [0, 6, 13]  # of one that goes on, as when the last is there
    keys = {item.key for n in (4, 40) for item in plan_estimates(
        Run(run), PLAN.replace(checkpoints=n), ["end"])[:1]}  # fmt: skip
    assert len(keys) == 1
