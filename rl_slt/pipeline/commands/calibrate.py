"""The calibration of a run or study: a sweep over a few checkpoints, and one recommendation.

Each estimate of the sweep is restartable.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import Run, make_folder, read_json_object, write_atomic, write_json
from rl_slt.calibration.calibrate import Cell, Sweep, carry_out, estimate_cell, row_of
from rl_slt.calibration.recommend import Calibration
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import report_failures
from rl_slt.pipeline.disk.layout import Study, open_path, runs_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import clear_leftovers, digest
from rl_slt.pipeline.engine.jobs import Engine, Outcome, open_engine, workers_on
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.engine.work import WorkItem, run_items
from rl_slt.pipeline.plan.by_name import build_loss, fit_batch
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates
from rl_slt.versions import STAGES, version_key

VARIED: dict[str, Any] = {
    "localization": 1.0, "nbeta": None, "sampler": "auto", "step_size": None, "match_entropy": (),
}  # fmt: skip


def calibrate(
    path: Path,
    settings: dict[str, Any],
    varied: dict[str, Any],
    names: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Sweep a run or study, write `calibration/` in it and print one setting for all of it.

    Args:
        path: of the run or study.
        settings: of `LLCPlan`, laid over those of the study, but for one loss on one set of
            states: `kl` on frozen ones, where not said otherwise.
        varied: of `Sweep`: localizations, nbeta_factors, step_sizes, exact, exact_states.
        names: runs of the study; none is one of each arm.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        0 when a sound setting was found and no estimate failed to run, else 1.

    Raises:
        InputError: a value is wrong.
    """
    target = open_path(path)
    loss = build_loss(settings.get("losses", ("kl",))[0])
    if loss.needs:
        settings = {"states": ("on-policy",)} | settings
    single = {"losses": ("kl",), "states": ("frozen",)}
    known = target.settings("llc") if isinstance(target, Study) else {}
    plan = LLCPlan.build(known | single | settings, "llc")
    sweep = Sweep(settings=plan.settings(), **{"exact_states": 256} | varied)
    if sweep.exact and loss.redrawn:
        raise InputError(f"--exact needs a fixed loss, but {loss.name} redraws its actions")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        # What the sweep sets must not be in the name of a work item.
        found, failed = _sweep(target, plan.replace(**VARIED), sweep, names, engine)
    report_failures(failed)
    best = float(found.settings.localization)  # a number: the sweep tries no other
    # What was calibrated is named even where it is the default here: `llc` has defaults of its own.
    command = command_line(path, settings | {"losses": plan.losses, "states": plan.states}, best)
    write_calibration(path / "calibration", found, command)
    value = f"localization {best:g}"
    what = f"recommended: {value}" if found.sound else f"nothing tried is sound; nearest: {value}"
    print(f"{what}  ({command})", f"why: {found.reason}", sep="\n")
    print(f"table and plot: {path / 'calibration'}")
    return 0 if found.sound and not failed else 1


def command_line(path: Path, settings: dict[str, Any], localization: float) -> str:
    """The `rl-slt llc` command that uses the recommendation."""
    words = ["rl-slt", "llc", str(path)]
    for name, value in (settings | {"localization": f"{localization:g}"}).items():
        option = "--loss" if name == "losses" else f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, tuple) else (value,):
            words += [option, str(each)]
    return shlex.join(words)


def write_calibration(folder: Path, found: Calibration, command: str) -> None:
    """Table, recommendation and plot of a calibration, each whole or not at all."""
    table, picture = found.table, found.plot()
    make_folder(folder)
    write_atomic(folder / "calibration.csv", lambda p: table.to_csv(p, index=False))
    write_atomic(folder / "calibration.parquet", lambda p: table.to_parquet(p, index=False))
    write_atomic(folder / "plateau.png", lambda p: picture.savefig(p, format="png", dpi=130))
    recommendation = {
        "localization": found.settings.localization,
        "sound": found.sound,
        "reason": found.reason,
        "command": command,
        "policies": list(dict.fromkeys(table["policy"])),
    }
    write_json(folder / "calibration.json", recommendation)


@dataclass(frozen=True)
class Trial(WorkItem):
    """One estimate of the sweep on one checkpoint.

    Attributes:
        estimate: the checkpoint, loss and states.
        cell: the settings that are tried.
        folder: where trials are stored.
    """

    kind = "calibrate"
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


def _sweep(
    target: Run | Study, plan: LLCPlan, sweep: Sweep, names: Sequence[str], engine: Engine
) -> tuple[Calibration, list[Outcome]]:
    """The calibration, of estimates made where they are not there yet, and those that failed."""
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
            report = lambda done, label: bar.update(before + done, label)  # noqa: E731
            failed.extend(run_items(missing, make_trial, engine, report))
            rows = [_read_row(trial) for trial in trials if trial.path.exists()]
            if trials and not rows:  # nothing to go on with: say why the first one failed
                first = failed[0]
                if first.trace:
                    raise RuntimeError(first.trace)
                raise InputError(f"{first.label}: {first.reason}")
            return rows

        calibration = carry_out(sweep, list(chosen), try_cells)
    return calibration, failed


def chosen_estimates(
    target: Run | Study, plan: LLCPlan, names: Sequence[str]
) -> dict[str, Estimate]:
    """First, middle and last checkpoint of the runs, by name; equal weights only once.

    The runs are those named, else one of each arm (the first by name).
    """
    if len(plan.losses) != 1 or len(plan.states) != 1:
        raise InputError("a calibration is of one loss on one set of states")
    runs = {run.name: run for run in runs_of(target)}
    unknown = [name for name in names if name not in runs]
    if unknown:
        raise InputError.of("run", unknown[0], f"one of {', '.join(runs)}")
    coins = sorted({run.training.coin for run in runs.values()})
    firsts: dict[str, str] = {}
    for run in runs.values():
        firsts.setdefault(run.arm, run.name)
    chosen: dict[str, Estimate] = {}
    for run in (runs[name] for name in dict.fromkeys(names or firsts.values())):
        each = plan_estimates(run, plan, coins)
        for i in sorted({0, len(each) // 2, len(each) - 1}):
            if each[i].weights not in {known.weights for known in chosen.values()}:
                chosen[f"{run.name}@{each[i].step}"] = each[i]
    return chosen


def make_trial(trial: Trial) -> None:
    """Compute one estimate and store it (called on a worker)."""
    if trial.path.exists():
        return
    item, start = trial.estimate, time.perf_counter()
    policy, states, loss = load_inputs(item)
    settings = trial.cell.settings.replace(
        precision=item.precision, distinct_actions=item.distinct_actions
    )
    cell = dataclasses.replace(trial.cell, settings=fit_batch(settings, loss, states))
    estimate = estimate_cell(cell, policy, states, loss, item.plan.seed)
    row = row_of(cell, estimate) | {
        "run": Path(item.run).name,
        "step": item.step,
        "loss": item.loss,
        "states": item.states.name,
        "precision": estimate.precision,
        "seconds": time.perf_counter() - start,
    }
    plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
    write_json(trial.path, plain)


def _read_row(trial: Trial) -> dict[str, Any]:
    row = {"precision": trial.estimate.precision} | read_json_object(trial.path)
    row |= {
        "arm": Run(Path(trial.run)).arm,
        "device": trial.estimate.device,
        "version": STAGES["calibrate"],
    }
    text = ("policy", "varied", "sampler", "status", "message", "run", "loss", "states")
    return {k: math.nan if v is None and k not in text else v for k, v in row.items()}
