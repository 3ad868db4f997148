"""The sweep of a calibration over a few checkpoints, each estimate a restartable unit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import read_json_object, write_json
from rl_slt.calibration.calibrate import (
    Calibration,
    Cell,
    Sweep,
    carry_out,
    conclude,
    estimate_cell,
    row_of,
)
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study, runs_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import clear_leftovers, digest
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome
from rl_slt.pipeline.engine.progress import Meter, meter
from rl_slt.pipeline.plan.by_name import fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Unit, open_unit, plan_units


@dataclass(frozen=True)
class Trial:
    """One estimate of the sweep on one checkpoint: all that its worker needs."""

    unit: Unit
    cell: Cell
    folder: str

    @property
    def path(self) -> Path:
        """The finished estimate; its name is a hash of all that the numbers depend on."""
        settings, sampler = dict(self.cell.settings), self.cell.settings.sampler
        settings["sampler"] = sampler and [sampler.name, dataclasses.asdict(sampler)]
        cell = vars(self.cell) | {"settings": settings}
        return Path(self.folder) / f"{digest([self.unit.key, cell])}.json"


def calibrate_path(
    target: Run | Study, plan: LLCPlan, sweep: Sweep, names: Sequence[str], engine: Engine
) -> tuple[Calibration, list[Outcome]]:
    """Make the estimates of the sweep that are not there yet and write `calibration/`.

    Args:
        target: a run, or a study whose runs are calibrated together.
        plan: loss, states and seed; its other settings are in the sweep.
        sweep: what to try.
        names: runs of the study to take; none is one run of each arm.
        engine: where the estimates are made.

    Returns:
        The calibration, and the estimates that failed with their reasons.

    Raises:
        InputError: for an unknown run, or no checkpoint.
    """
    units = chosen_units(target, plan, names)
    folder = target.path / "parts" / "calibrate"
    with stage_lock(target.path, "calibrate"), meter("calibrate", sweep.count(len(units))) as bar:
        for place in {target.path, *(run.path for run in runs_of(target))}:
            clear_leftovers(place)
        failed: list[Outcome] = []
        stage = _Stage(units, folder, engine, bar, failed)
        table = carry_out(sweep, list(units), stage.make)
        calibration = conclude(sweep, list(units), table)
    return calibration, failed


def chosen_units(target: Run | Study, plan: LLCPlan, names: Sequence[str]) -> dict[str, Unit]:
    """First, middle and last checkpoint of the runs, by name; equal weights only once."""
    check_plan(plan)
    runs = _chosen_runs(target, names)
    coins = sorted({run.training.coin for run in runs_of(target)})
    units: dict[str, Unit] = {}
    for run in runs:
        each = plan_units(run, plan, coins)
        for i in sorted({0, len(each) // 2, len(each) - 1}):
            if each[i].weights not in {u.weights for u in units.values()}:
                units[f"{run.name}@{each[i].step}"] = each[i]
    return units


def check_plan(plan: LLCPlan) -> None:
    """Raise InputError unless the plan names one loss and one set of states."""
    if len(plan.losses) != 1 or len(plan.states) != 1:
        raise InputError("a calibration is of one loss on one set of states")


def _chosen_runs(target: Run | Study, names: Sequence[str]) -> list[Run]:
    """The runs named, else one of each arm (the first by name)."""
    runs = runs_of(target)
    known = {run.name: run for run in runs}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"unknown run {unknown[0]!r}; allowed: {', '.join(known)}")
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    arms = {run.arm: run for run in reversed(runs)}
    return list(reversed(arms.values()))


@dataclass
class _Stage:
    """Makes the cells of a stage on the engine; what is finished is read, not made again."""

    units: dict[str, Unit]
    folder: Path
    engine: Engine
    bar: Meter
    failed: list[Outcome]
    done: int = 0

    def make(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        trials = [Trial(self.units[cell.policy], cell, str(self.folder)) for cell in cells]
        jobs = [
            Job(f"calibration of {t.cell.policy} ({t.cell.varied})", make_trial, (t,), t.unit.run)
            for t in trials
            if not t.path.exists()
        ]
        before, self.done = self.done + len(trials) - len(jobs), self.done + len(trials)
        self.bar.update(before)
        for done, outcome in enumerate(self.engine.run(jobs, lambda: None), start=1):
            self.bar.update(before + done, outcome.label)
            if outcome.reason:
                self.failed.append(outcome)
        rows = [_read_row(t) for t in trials if t.path.exists()]
        if trials and not rows:
            self._give_up()
        return rows

    def _give_up(self) -> None:
        """There is nothing to go on with: say why the first estimate failed."""
        first = self.failed[0]
        if first.trace:
            raise RuntimeError(first.trace)
        raise InputError(f"{first.label}: {first.reason}")


def make_trial(trial: Trial) -> None:
    """Compute one estimate and store it (called on a worker)."""
    if trial.path.exists():
        return
    unit, start = trial.unit, time.perf_counter()
    policy, states, loss = open_unit(unit)
    settings = fit_batch(trial.cell.settings, unit.loss, states)
    cell = dataclasses.replace(trial.cell, settings=settings)
    estimate = estimate_cell(cell, policy, states, loss, unit.plan.seed)
    row = row_of(cell, estimate) | {
        "run": Path(unit.run).name,
        "step": unit.step,
        "loss": unit.loss,
        "states": unit.recipe.spec,
        "seconds": time.perf_counter() - start,
    }
    plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    write_json(trial.path, plain)


def _read_row(trial: Trial) -> dict[str, Any]:
    row = read_json_object(trial.path)
    text = ("policy", "varied", "sampler", "status", "message", "run", "loss", "states")
    return {k: math.nan if v is None and k not in text else v for k, v in row.items()}
