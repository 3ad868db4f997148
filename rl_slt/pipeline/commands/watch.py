"""Follow a run that is still training: estimate new checkpoints, and warn of transitions.

Warnings hold an error rate over the whole run. With K checkpoints planned the series is tested
after each from the sixth on, and a warning needs `p <= error_rate / (K - 5)` (Bonferroni over all
tests made). So a run without any transition is warned of with probability at most `error_rate`,
however the tests depend on each other.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from agents import Checkpoint, Run
from analysis import MIN_POINTS, change_stderr, detect_transitions, meaning
from rl_slt import SettingsModel
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import open_run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import clear_leftovers
from rl_slt.pipeline.engine.jobs import Job, run_guarded
from rl_slt.pipeline.engine.throttle import Throttle
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, assemble, make, plan_estimates

EVENTS = "watch.jsonl"
CHEAP = LLCPlan(states=("frozen",), n_states=1024, draws=80, burn_in=60, batch_size=32,
                checkpoints=1_000_000)  # fmt: skip
_POLL = 2.0  # seconds between looks for a new checkpoint


class Watch(SettingsModel):
    """How a run is followed.

    Attributes:
        share: at most this share of one core's time is taken while training goes on; the start of
            the program, a few seconds, comes on top.
        error_rate: probability of any warning on a run without a transition.
        plan: the estimate of each checkpoint.
        once: stop when all checkpoints so far are estimated, whether training goes on or not.
    """

    share: float = Field(default=0.1, gt=0, le=1)
    error_rate: float = Field(default=0.05, gt=0, lt=1)
    plan: LLCPlan = CHEAP
    once: bool = False

    def level(self, checkpoints: int) -> float:
        """The p-value that warns: the error rate over the number of tests until the end."""
        return self.error_rate / max(checkpoints - MIN_POINTS + 1, 1)


def follow(path: Path, watch: Watch) -> Iterator[dict[str, Any]]:
    """Yield an event for each estimate, failure and transition until training ends.

    Each event is also appended as one line of JSON to `RUN/watch.jsonl`. What stands there already
    is not reported again, so that a watch that was killed goes on where it was.

    Raises:
        InputError: if the path is no run, or another process watches it.
    """
    run = open_run(path)
    level = watch.level(max(len(run.training.checkpoint_steps), len(run.checkpoints)))
    _ = run.finished  # a damaged index is refused before anything is locked
    with stage_lock(run.path, "watch"):
        clear_leftovers(run.path)
        known = read_events(run)
        estimated = {str(event.get("estimate_id")) for event in known}
        reported = [event for event in known if _is_transition(event)]
        seen: list[Checkpoint] = []
        rows: dict[str, pd.DataFrame] = {}
        throttle = Throttle(watch.share)
        while True:
            finished = run.finished
            if (checkpoints := run.checkpoints) != seen:
                seen = checkpoints
                items = plan_estimates(run, watch.plan, [run.training.coin])
                for item in (item for item in items if item.key not in estimated):
                    estimated.add(item.key)
                    yield _log(run, _estimate(item, None if finished else throttle))
                    yield from _warnings(run, items, rows, level, reported)
                yield from _warnings(run, items, rows, level, reported)  # one that a kill kept back
                # An `llc` command that holds the lock will bring the tables up to date itself.
                with contextlib.suppress(InputError), stage_lock(run.path, "llc"):
                    assemble(run)
            if finished or watch.once:
                yield _log(run, {"event": "end", "finished": finished})
                return
            time.sleep(_POLL)
            throttle()


def _warnings(
    run: Run,
    items: list[Estimate],
    rows: dict[str, pd.DataFrame],
    level: float,
    reported: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Report the significant transitions of the estimates so far that are not reported yet.

    One at the edge is reported once more when it is confirmed. `seen` is the newest checkpoint that
    is estimated, `trained` the newest that training had saved by then: on a busy machine the watch
    falls behind, and its warning is as late as that. `rows` keeps what was read, by item.
    """
    made = [item for item in items if item.store.has(item.key)]
    if not made:
        return
    for item in made:
        if item.key not in rows:
            rows[item.key] = item.store.read_item(item.key, "llc")
    every = pd.concat([rows[item.key] for item in made], ignore_index=True)
    good = every[every["status"] != "failed"]
    found = detect_transitions(good["step"], good["llc"], change_stderr(good), level=level)
    for row in found[found["kind"] != "trend"].to_dict("records"):
        numbers = ("step", "step_low", "step_high", "change", "p_value")
        event = {
            "event": "transition",
            "kind": row["kind"],
            "status": row["status"],
            **{name: float(row[name]) for name in numbers},
            "level": level,
            "seen": int(good["step"].max()),
            "trained": max(checkpoint.step for checkpoint in run.checkpoints),
        }
        if not any(_same(event, known) for known in reported):
            reported.append(event)
            yield _log(run, event)


def _is_transition(event: dict[str, Any]) -> bool:
    ends = (event.get("step_low"), event.get("step_high"))
    return event.get("event") == "transition" and all(isinstance(end, int | float) for end in ends)


def _same(event: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a transition is one that is known, and no more certain than it was."""
    return bool(
        event["kind"] == known.get("kind")
        and event["step_low"] < known["step_high"]
        and known["step_low"] < event["step_high"]
        and (event["status"] or not known.get("status"))
    )


def _estimate(item: Estimate, throttle: Throttle | None) -> dict[str, Any]:
    """Make one estimate if it is not there yet; a throttle rests all along, and after it."""
    start = time.process_time()
    outcome = run_guarded(Job(f"step {item.step}", make, (item, throttle)))
    spent = time.process_time() - start
    if throttle is not None:
        throttle()
    if outcome.reason:
        return {"event": "failed", "step": item.step, "reason": outcome.reason}
    rows = item.store.read_item(item.key, "llc")
    row = rows.iloc[0]
    names = ("llc", "llc_stderr", "llc_stderr_total")
    llc, stderr, total = (  # JSON knows no NaN
        float(row[name]) if math.isfinite(row[name]) else None for name in names
    )
    return {
        "event": "estimate",
        "step": item.step,
        "estimate_id": item.key,
        "llc": llc,
        "stderr": stderr,
        "stderr_total": total,
        "status": str(row["status"]),
        "message": str(row["message"]),
        "setting": meaning.setting(rows),
        "cpu_seconds": round(spent, 2),
    }


def read_events(run: Run) -> list[dict[str, Any]]:
    """The events of the run's event file so far, without lines that are torn."""
    found = []
    with contextlib.suppress(OSError):
        for line in (run.path / EVENTS).read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                found += [event] if isinstance(event, dict) else []
    return found


def _log(run: Run, event: dict[str, Any]) -> dict[str, Any]:
    """Append the event to the run's event file, in one write."""
    event = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **event}
    with (run.path / EVENTS).open("ab+") as file:
        torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        line = json.dumps(event, allow_nan=False) + "\n"
        file.write(("\n" + line if torn else line).encode())
    return event
