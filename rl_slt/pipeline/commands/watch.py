"""Follow a run that is still training: estimate new checkpoints beside it, warn of transitions.

Warnings hold an error rate over the whole run: with K checkpoints planned, the series is tested
after each of them, and a transition is told only at `p <= error_rate / K` (Bonferroni), so that a
run without any transition is warned of with probability at most `error_rate`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import agents
from analysis import detect_transitions
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, open_path, training_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import UnitStore, clear_leftovers
from rl_slt.pipeline.engine.jobs import Job, run_guarded
from rl_slt.pipeline.engine.throttle import Pace
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Unit, assemble, make, plan_units

EVENTS = "watch.jsonl"
CHEAP = LLCPlan(states=("frozen",), n_states=1024, draws=80, burn_in=60, batch_size=32)
_POLL = 2.0  # seconds between looks for a new checkpoint


@dataclass(frozen=True)
class Watch:
    """How a run is followed.

    Attributes:
        share: at most this share of one core's time is taken while training goes on; the start of
            the program, a few seconds, comes on top.
        error_rate: probability of any warning on a run without a transition.
        plan: the estimate of each checkpoint.
        once: stop when all checkpoints so far are estimated, whether training goes on or not.
    """

    share: float = 0.1
    error_rate: float = 0.05
    plan: LLCPlan = field(default_factory=lambda: CHEAP)
    once: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share = {self.share} is not allowed: above 0, at most 1")
        if not 0 < self.error_rate < 1:
            raise InputError(f"error_rate = {self.error_rate} is not allowed: between 0 and 1")


def follow(path: Path, watch: Watch) -> Iterator[dict[str, Any]]:
    """Yield an event for each estimate, failure and transition until training ends.

    Each event is also appended as one line of JSON to `RUN/watch.jsonl`. What stands there already
    is not told again, so that a watch that was killed goes on where it was.

    Raises:
        InputError: if the path is no run, or another process watches it.
    """
    run = open_path(path)
    if not isinstance(run, Run):
        raise InputError(f"{path} is a study; watch one of its runs")
    train = training_of(run)
    looks = max(len(train.checkpoint_steps), 1)
    level = watch.error_rate / looks
    agents.is_finished(run.path)  # a damaged index is told of before anything is locked
    with stage_lock(run.path, "watch"):
        clear_leftovers(run.path)
        told = {_mark(event) for event in read_events(run)}
        seen: list[agents.Checkpoint] = []
        pace = Pace(watch.share)
        while True:
            finished = agents.is_finished(run.path)
            if (checkpoints := run.checkpoints) != seen:
                seen = checkpoints
                units = plan_units(run, watch.plan, [train.coin])
                for unit in (unit for unit in units if unit.key not in told):
                    told.add(unit.key)
                    yield _log(run, _estimate(run, unit, None if finished else pace))
                    yield from _warnings(run, units, level, told)
                yield from _warnings(run, units, level, told)  # one that a kill kept back
                _assemble(run)
            if finished or watch.once:
                yield _log(run, {"event": "end", "finished": finished})
                return
            time.sleep(_POLL)
            pace()


def _mark(event: dict[str, Any]) -> str:
    """What tells an event from others: an estimate's key, a transition's detector and step."""
    return str(event.get("estimate_id") or f"{event.get('detector')} {event.get('step')}")


def _warnings(
    run: Run, units: list[Unit], level: float, told: set[str]
) -> Iterator[dict[str, Any]]:
    """Tell of the transitions that are not told of yet."""
    for event in _transitions(run, units, level):
        if _mark(event) not in told:
            told.add(_mark(event))
            yield _log(run, event)


def _estimate(run: Run, unit: Unit, pace: Pace | None) -> dict[str, Any]:
    """Make one estimate if it is not there yet; with a pace it rests all along, and after it."""
    start = time.process_time()
    outcome = run_guarded(Job(f"step {unit.step}", make, (unit, pace)))
    spent = time.process_time() - start
    if pace is not None:
        pace()
    if outcome.reason:
        return {"event": "failed", "step": unit.step, "reason": outcome.reason}
    row = UnitStore(run.path, "llc").read_unit(unit.key, "llc").iloc[0]
    return {
        "event": "estimate",
        "step": unit.step,
        "estimate_id": unit.key,
        "llc": _number(row["llc"]),
        "stderr": _number(row["llc_stderr"]),
        "status": str(row["status"]),
        "cpu_seconds": round(spent, 2),
    }


def _transitions(run: Run, units: list[Unit], level: float) -> list[dict[str, Any]]:
    """Transitions of the series so far whose evidence passes the level."""
    store = UnitStore(run.path, "llc")
    made = [store.read_unit(u.key, "llc").iloc[0] for u in units if store.has(u.key)]
    good = [row for row in made if row["status"] != "failed"]
    found = detect_transitions(
        [int(row["step"]) for row in good],
        [float(row["llc"]) for row in good],
        [float(row["llc_stderr"]) for row in good],
    )
    rows = found[found["p_value"] <= level].to_dict("records") if len(found) else []
    places = ("step", "step_low", "step_high", "change", "p_value")
    return [
        {
            "event": "transition",
            "detector": row["detector"],
            "kind": row["kind"],
            **{name: float(row[name]) for name in places},
            "level": level,
        }
        for row in rows
    ]


def read_events(run: Run) -> list[dict[str, Any]]:
    """The events of the run's event file so far, without lines that are torn."""
    found = []
    with contextlib.suppress(OSError):
        for line in (run.path / EVENTS).read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                found += [event] if isinstance(event, dict) else []
    return found


def _number(value: Any) -> float | None:
    """A number for JSON, which knows no NaN."""
    return float(value) if math.isfinite(value) else None


def _assemble(run: Run) -> None:
    """Bring the tables up to date, unless an `llc` command is at them and will do it."""
    try:
        with stage_lock(run.path, "llc"):
            assemble(run)
    except InputError:
        return


def _log(run: Run, event: dict[str, Any]) -> dict[str, Any]:
    """Append the event to the run's event file, in one write."""
    event = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **event}
    with (run.path / EVENTS).open("ab+") as file:
        torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        line = json.dumps(event, allow_nan=False) + "\n"
        file.write(("\n" + line if torn else line).encode())
    return event
