"""What is done, running, failed and missing in a run or study, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agents import LOCK, read_json_object
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study, open_path
from rl_slt.pipeline.disk.locks import is_held, lock_holder
from rl_slt.pipeline.disk.store import UnitStore, failures
from rl_slt.pipeline.engine.eta import duration, steps_per_second, unit_seconds
from rl_slt.pipeline.stages.analyse import table_of

# stage: its units, the table of theirs that names checkpoints, and what tells its series apart
STAGES = {"llc": ("llc", "llc", ["loss", "states"]), "probe": ("probe", "probes", ["probe"])}
OTHERS = ("calibrate", "compare", "watch")  # commands of which it is told only that they run


@dataclass(frozen=True)
class Series:
    """How many checkpoints of a run one series of estimates or probes has."""

    name: str
    have: int
    missing: int

    def __str__(self) -> str:
        lack = f", {self.missing} missing" if self.missing else ""
        return f"{self.name}: {self.have} of {self.have + self.missing} checkpoints{lack}"


def describe(path: Path) -> list[str]:
    """Lines for people about a run or a study.

    Raises:
        InputError: if the path is neither, or a file in it is damaged.
    """
    target = open_path(path)
    if isinstance(target, Run):
        return [*describe_run(target, {}), *_left([target], {})]
    lines = [f"study {target.path}"]
    lines += _running(target.path, ("run", "calibrate"))
    settings = target.config.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    runs = [target.run(arm, seed) for arm, seed in target.wanted]
    for run in runs:
        known = run.exists
        lines += describe_run(run, settings) if known else [f"run {run.name}: missing, not begun"]
    page = target.path / "report.html"
    lines.append(f"report: {page}" if page.exists() else "report: missing")
    return lines + _timings(target) + _left(runs, settings)


def describe_run(run: Run, settings: dict[str, Any]) -> list[str]:
    """Lines about one run: training, estimates, probes, and what failed.

    Args:
        run: the run.
        settings: what the study wants of it, as `settings` in `study.json`; empty without one.
    """
    lines = [f"run {run.name}", f"  training: {_training(run)}"]
    steps = [c.step for c in run.checkpoints]
    lines.append(
        f"  checkpoints: {len(steps)}" + (f", last at step {steps[-1]:,}" if steps else "")
    )
    for stage in STAGES:
        busy = lock_holder(run.path, stage)
        running = f" (running: {busy})" if busy else ""
        found = coverage(run, stage, settings)
        lines += [f"  {stage} {series}{running}" for series in _shorter(stage, found)]
        if not found:
            lines.append(f"  {stage}: missing{running}")
    lines += _running(run.path, OTHERS)
    llc = _rows(run, "llc")
    for row in llc[llc["status"] != "ok"].itertuples():
        lines.append(
            f"    {row.status}: step {row.step:,} {row.loss} on {row.states}: {row.message}"
        )
    lines += [f"    failed: {f.unit}: {f.reason} ({f.when})" for f in failures(run)]
    return lines


def _running(folder: Path, commands: Iterable[str]) -> list[str]:
    """A line for each of these commands that is at work on the run or study."""
    return [
        f"  {name}: running, {busy}" for name in commands if (busy := lock_holder(folder, name))
    ]


def coverage(run: Run, stage: str, settings: dict[str, Any]) -> list[Series]:
    """The series that the run has or should have, each in its most complete setting."""
    rows, steps = _rows(run, stage), {c.step for c in run.checkpoints}
    names = STAGES[stage][2]
    rows = rows[rows["step"].isin(list(steps))]
    best = dict.fromkeys(_wanted(stage, settings), 0)
    by = [*names, "setting_id"] if "setting_id" in rows else names
    for key, part in rows.groupby(by):
        name = " on ".join(str(k) for k in key[: len(names)])
        best[name] = max(best.get(name, 0), int(part["step"].nunique()))
    return [Series(name, have, len(steps) - have) for name, have in best.items()]


def _wanted(stage: str, settings: dict[str, Any]) -> Iterable[str]:
    plan = settings.get(stage) if stage == "llc" else None
    if not isinstance(plan, dict):
        return []
    losses, states = (plan.get(name) for name in ("losses", "states"))
    if not isinstance(losses, list) or not isinstance(states, list):
        return []
    return [f"{loss} on {spec}" for loss in losses for spec in states]


def _rows(run: Run, stage: str) -> pd.DataFrame:
    """The stage's finished units; a running command writes its table only at its end."""
    kind, table, _ = STAGES[stage]
    rows = UnitStore(run.path, kind).read(table)
    return rows if len(rows) else table_of(run, table)


def _shorter(stage: str, found: Sequence[Series]) -> list[Series]:
    """One line where all series agree on how much there is, as the probes of a suite do."""
    counts = {(series.have, series.missing) for series in found}
    if stage == "probe" and len(counts) == 1:
        have, missing = counts.pop()
        return [Series("of all kinds", have, missing)]
    return list(found)


def _training(run: Run) -> str:
    if run.imported:
        return "imported"
    try:
        total = run.training.total_steps
    except InputError as error:
        return f"unknown ({error})"
    if run.finished:
        return f"done, {total:,} steps"
    busy = is_held(run.path / LOCK)
    return f"{'running' if busy else 'not finished'}, {run.steps_done:,} of {total:,} steps"


def _left(runs: Sequence[Run], settings: dict[str, Any]) -> list[str]:
    """How long the rest will take, part by part; nothing where nothing is left."""
    begun = [run for run in runs if run.exists]
    parts = [_training_left(runs, begun)]
    for stage, (kind, _, _) in STAGES.items():
        kinds = {run: coverage(run, stage, settings) for run in begun}
        # Probes of one checkpoint are one unit, whatever their number.
        count = max if stage == "probe" else sum
        missing = sum(count([s.missing for s in found] or [0]) for found in kinds.values())
        pace = unit_seconds(begun, kind)
        if missing:
            parts.append(f"{stage} {duration(missing * pace) if pace else 'of unknown length'}")
    parts = [part for part in parts if part]
    return [f"left at the pace so far: {', '.join(parts)}"] if parts else []


def _training_left(runs: Sequence[Run], begun: Sequence[Run]) -> str:
    """Time for the steps that no run has done yet, as many at a time as are under way."""
    known = [run for run in begun if not run.imported]
    open_runs = [run for run in known if not run.finished]
    totals = [run.training.total_steps for run in known]
    missing = (len(runs) - len(begun)) * max(totals, default=0)
    missing += sum(run.training.total_steps - run.steps_done for run in open_runs)
    if not missing and len(runs) == len(begun):
        return ""
    busy = max(1, sum(is_held(run.path / LOCK) for run in open_runs))
    speeds = [speed for run in known if (speed := steps_per_second(run))]
    if not speeds:
        return "training of unknown length"
    return f"training {duration(missing / (busy * sum(speeds) / len(speeds)))}"


def _timings(study: Study) -> list[str]:
    path = study.path / "timings.json"
    if not path.exists():
        return []
    told = read_json_object(path).items()
    spent = ", ".join(f"{stage} {s:.0f} s" for stage, s in told if isinstance(s, int | float))
    return [f"time spent: {spent}"]
