"""What is done, running, failed and missing in a run or study, and how long the rest will take.

How long the rest will take comes from when the finished parts were written. Only the files' own
times are used, so it works next to a running command and after a killed one.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agents import LOCK, read_json_object
from envs import cores
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study, open_path
from rl_slt.pipeline.disk.locks import is_held, lock_holder
from rl_slt.pipeline.disk.store import ItemStore, StageItems, failures
from rl_slt.pipeline.engine.progress import duration
from rl_slt.pipeline.forecast.whole import known_costs
from rl_slt.pipeline.forecast.work import STAGES as FORECAST
from rl_slt.pipeline.forecast.work import forecast
from rl_slt.pipeline.plan.study import StudyPlan
from rl_slt.pipeline.stages.analyse import table_of
from rl_slt.pipeline.stages.llc import ITEMS as LLC
from rl_slt.pipeline.stages.llc import PROFILES
from rl_slt.pipeline.stages.probe.stage import ITEMS as PROBE

STAGES = (LLC, PROFILES, PROBE)
OTHERS = ("calibrate", "compare", "watch")  # commands of which only that they run is reported
_RECENT = 40  # gaps between finished items that count
_LEAST = 0.05  # seconds; files that were copied all at once say nothing of their making


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
        InputError: the path is neither, or a file in it is damaged.
    """
    target = open_path(path)
    if isinstance(target, Run):
        return [*describe_run(target, {}), *_left([target], {})]
    lines = [f"study {target.path}", *_running(target.path, ("run", "calibrate"))]
    settings = target.config.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    settings = settings | {"arms": target.config.get("arms")}
    runs = [target.run(arm, seed) for arm, seed in target.wanted]
    for run in runs:
        begun = run.exists
        lines += describe_run(run, settings) if begun else [f"run {run.name}: missing, not begun"]
    page = target.path / "report.html"
    lines.append(f"report: {page}" if page.exists() else "report: missing")
    timings = target.path / "timings.json"
    record = read_json_object(timings) if timings.exists() else {}
    spent = [f"{name} {s:.0f} s" for name, s in record.items() if isinstance(s, int | float)]
    lines += [f"time spent: {', '.join(spent)}"] if spent else []
    return lines + _whole(target, runs) + _left(runs, settings)


def describe_run(run: Run, settings: dict[str, Any]) -> list[str]:
    """Lines about one run: training, estimates, probes, and what failed.

    Args:
        run: the run.
        settings: what the study wants of it, as `settings` in `study.json`, and its `arms`; empty
            without one.
    """
    steps = [c.step for c in run.checkpoints]
    last = f", last at step {steps[-1]:,}" if steps else ""
    lines = [f"run {run.name}", f"  training: {_training(run)}"]
    lines.append(f"  checkpoints: {len(steps)}{last}")
    for items in STAGES:
        busy = lock_holder(run.path, items.stage)
        running = f" (running: {busy})" if busy else ""
        found = coverage(run, items, settings)
        if items.per_checkpoint and len({(s.have, s.missing) for s in found}) == 1:
            found = [Series("of all kinds", found[0].have, found[0].missing)]
        lines += [f"  {items.stage} {series}{running}" for series in found]
        if not found and not items.optional:
            lines.append(f"  {items.stage}: missing{running}")
    lines += _running(run.path, OTHERS)
    llc = _rows(run, LLC)
    for row in llc[llc["status"] != "ok"].to_dict("records"):
        where = f"step {row['step']:,} {row['loss']} on {row['states']}"
        where += f" at {row['matched_entropy']:g} nats" if row["matched_entropy"] > 0 else ""
        lines.append(f"    {row['status']}: {where}: {row['message']}")
    return lines + [f"    failed: {f.item}: {f.reason} ({f.when})" for f in failures(run)]


def _running(folder: Path, commands: Iterable[str]) -> list[str]:
    """A line for each of these commands that is at work on the run or study."""
    holders = {name: lock_holder(folder, name) for name in commands}
    return [f"  {name}: running, {holder}" for name, holder in holders.items() if holder]


def coverage(run: Run, items: StageItems, settings: dict[str, Any]) -> list[Series]:
    """The series that the run has or should have, each in its most complete setting."""
    rows, steps = _rows(run, items), {c.step for c in run.checkpoints}
    rows = rows[rows["step"].isin(list(steps))]
    try:
        train = run.training
    except InputError:
        train = None
    best = dict.fromkeys(items.planned(settings, train), 0)
    by = [*items.series, "setting_id"] if "setting_id" in rows else [*items.series]
    for key, part in rows.groupby(by):
        name = " on ".join(str(k) for k in key[: len(items.series)])
        best[name] = max(best.get(name, 0), int(part["step"].nunique()))
    wanted = items.of(settings, len(steps))
    return [Series(name, have, max(0, wanted - have)) for name, have in best.items()]


def _rows(run: Run, items: StageItems) -> pd.DataFrame:
    """The stage's finished items; a running command writes its table only at its end."""
    rows = ItemStore(run.path, items.stage).read(items.table)
    return rows if len(rows) else table_of(run, items.table)


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
    parts = {"training": training_left(runs)}
    for items in STAGES:
        lacking = [[s.missing for s in coverage(run, items, settings)] or [0] for run in begun]
        missing = sum(max(n) if items.per_checkpoint else sum(n) for n in lacking)
        each = item_seconds(begun, items.stage)
        parts[items.stage] = (missing * each if each else None) if missing else 0.0
    texts = [f"{name} {duration(s) if s else 'of unknown length'}"
             for name, s in parts.items() if s != 0]  # fmt: skip
    note = "" if len(begun) == len(runs) else "; of runs that have not begun training alone counts"
    return [f"left at the speed so far: {', '.join(texts)}{note}"] if texts else []


def _whole(study: Study, runs: Sequence[Run]) -> list[str]:
    """The units of a study that are done, and about how long the others take.

    At the speed so far, and of what has not begun as the costs say that were measured for it.
    """
    fields = {name: study.config.get(name) for name in ("name", "question", "arms", "seeds")}
    try:
        plan = StudyPlan.build(fields | study.config.get("settings", {}), "study.json")
        costs = known_costs(study)
        work = forecast(plan, costs, study, cores())
    except (InputError, TypeError):  # written by another version, or by hand
        return []
    done, total = work.count()
    if costs is None or done == total:
        return [f"units: {done} of {total} done"]
    begun = [run for run in runs if run.exists]
    left = {stage: work.of(stage).seconds for stage in FORECAST}
    left["train"] = training_left(runs) or left["train"]
    for stage, what in (("llc", "estimates"), ("probe", "checkpoints probed")):
        each, (made, of) = item_seconds(begun, stage), work.count(what)
        left[stage] = each * (of - made) if each else left[stage]
    return [f"units: {done} of {total} done, about {duration(sum(left.values()))} left"]


def training_left(runs: Sequence[Run]) -> float | None:
    """Seconds for the steps that no run has done yet, as many at a time as are under way.

    None where no run shows a speed.
    """
    begun = [run for run in runs if run.exists]
    known = [run for run in begun if not run.imported]
    open_runs = [run for run in known if not run.finished]
    missing = sum(run.training.total_steps - run.steps_done for run in open_runs)
    longest = max((run.training.total_steps for run in known), default=0)
    missing += (len(runs) - len(begun)) * longest
    if not missing and len(runs) == len(begun):
        return 0.0
    busy = max(1, sum(is_held(run.path / LOCK) for run in open_runs))
    speeds = [speed for run in known if (speed := steps_per_second(run))]
    return missing / (busy * statistics.fmean(speeds)) if speeds else None


def item_seconds(runs: Sequence[Run], kind: str) -> float | None:
    """Seconds from one finished work item to the next over these runs; None where too few are."""
    times = sorted(t for run in runs for t in ItemStore(run.path, kind).times())
    gaps = [b - a for a, b in itertools.pairwise(times)][-_RECENT:]
    if not gaps:
        return None
    # Two workers finish in pairs, so not the median of all gaps but the mean over the usual ones: a
    # night between two commands does not count.
    most = 20 * max(statistics.median(gaps), _LEAST)
    mean = statistics.fmean([gap for gap in gaps if gap <= most])
    return mean if mean >= _LEAST else None


def steps_per_second(run: Run) -> float | None:
    """Environment steps per second of the training, from its last checkpoints; None if unknown."""
    speeds = [
        (after.step - before.step) / (after.written - before.written)
        for before, after in itertools.pairwise(run.checkpoints)
        if after.written - before.written >= _LEAST
    ]
    return statistics.median(speeds[-5:]) if speeds else None
