"""The sweep of a calibration over a few checkpoints, each estimate restartable."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import Run, read_json_object, write_json
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
from rl_slt.pipeline.disk.layout import Study, runs_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import clear_leftovers, digest
from rl_slt.pipeline.engine.jobs import Engine, Outcome
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.engine.work import WorkItem, run_items
from rl_slt.pipeline.plan.by_name import fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates
from rl_slt.versions import version_key


@dataclass(frozen=True)
class Trial(WorkItem):
    """One estimate of the sweep on one checkpoint.

    Attributes:
        estimate: the checkpoint, loss and states.
        cell: the settings that are tried.
        folder: where trials are stored.
    """

    estimate: Estimate
    cell: Cell
    folder: str

    @property
    def key(self) -> str:
        """Hash of all that the numbers depend on."""
        settings, sampler = dict(self.cell.settings), self.cell.settings.sampler
        settings["sampler"] = sampler and [sampler.name, dataclasses.asdict(sampler)]
        cell = vars(self.cell) | {"settings": settings}
        return digest([version_key("calibrate"), self.estimate.key, cell])

    @property
    def label(self) -> str:
        """What it is called in front of people."""
        return f"calibration of {self.cell.policy} ({self.cell.varied})"

    @property
    def path(self) -> Path:
        """The finished estimate."""
        return Path(self.folder) / f"{self.key}.json"


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
    chosen = chosen_estimates(target, plan, names)
    folder = target.path / "parts" / "calibrate"
    with stage_lock(target.path, "calibrate"), meter("calibrate", sweep.count(len(chosen))) as bar:
        for place in {target.path, *(run.path for run in runs_of(target))}:
            clear_leftovers(place)
        failed: list[Outcome] = []
        begun = 0

        def try_cells(cells: Sequence[Cell]) -> list[dict[str, Any]]:
            nonlocal begun
            trials = [
                Trial(e.run, e.step, e.checkpoint, e.weights, e, cell, str(folder))
                for e, cell in ((chosen[cell.policy], cell) for cell in cells)
            ]
            missing = [trial for trial in trials if not trial.path.exists()]
            before, begun = begun + len(trials) - len(missing), begun + len(trials)
            bar.update(before)
            report = lambda done, label: bar.update(before + done, label)  # noqa: E731
            failed.extend(run_items(missing, make_trial, engine, report))
            rows = [_read_row(trial) for trial in trials if trial.path.exists()]
            if trials and not rows:  # nothing to go on with: say why the first one failed
                first = failed[0]
                if first.trace:
                    raise RuntimeError(first.trace)
                raise InputError(f"{first.label}: {first.reason}")
            return rows

        table = carry_out(sweep, list(chosen), try_cells)
        calibration = conclude(sweep, list(chosen), table)
    return calibration, failed


def chosen_estimates(
    target: Run | Study, plan: LLCPlan, names: Sequence[str]
) -> dict[str, Estimate]:
    """First, middle and last checkpoint of the runs, by name; equal weights only once."""
    if len(plan.losses) != 1 or len(plan.states) != 1:
        raise InputError("a calibration is of one loss on one set of states")
    coins = sorted({run.training.coin for run in runs_of(target)})
    chosen: dict[str, Estimate] = {}
    for run in _chosen_runs(target, names):
        each = plan_estimates(run, plan, coins)
        for i in sorted({0, len(each) // 2, len(each) - 1}):
            if each[i].weights not in {known.weights for known in chosen.values()}:
                chosen[f"{run.name}@{each[i].step}"] = each[i]
    return chosen


def _chosen_runs(target: Run | Study, names: Sequence[str]) -> list[Run]:
    """The runs named, else one of each arm (the first by name)."""
    runs = runs_of(target)
    known = {run.name: run for run in runs}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError.of("run", unknown[0], f"one of {', '.join(known)}")
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    arms = {run.arm: run for run in reversed(runs)}
    return list(reversed(arms.values()))


def make_trial(trial: Trial) -> None:
    """Compute one estimate and store it (called on a worker)."""
    if trial.path.exists():
        return
    item, start = trial.estimate, time.perf_counter()
    policy, states, loss = load_inputs(item)
    settings = trial.cell.settings.replace(precision=item.precision)
    cell = dataclasses.replace(trial.cell, settings=fit_batch(settings, loss, states))
    estimate = estimate_cell(cell, policy, states, loss, item.plan.seed)
    row = row_of(cell, estimate) | {
        "run": Path(item.run).name,
        "step": item.step,
        "loss": item.loss,
        "states": item.states.name,
        "seconds": time.perf_counter() - start,
    }
    plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    write_json(trial.path, plain)


def _read_row(trial: Trial) -> dict[str, Any]:
    row = read_json_object(trial.path)
    text = ("policy", "varied", "sampler", "status", "message", "run", "loss", "states")
    return {k: math.nan if v is None and k not in text else v for k, v in row.items()}
