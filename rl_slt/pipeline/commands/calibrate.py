"""The command that calibrates a run or study: files, and a recommendation for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents import write_atomic, write_json
from rl_slt.calibration.calibrate import Calibration
from rl_slt.calibration.sweep import Sweep
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import report_failure
from rl_slt.pipeline.disk.layout import Run, Study, open_path
from rl_slt.pipeline.engine.jobs import open_engine, workers_on
from rl_slt.pipeline.plan.by_name import FROM_STATES, build_loss, settings_of
from rl_slt.pipeline.plan.settings import build
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.calibrate import calibrate_path

SINGLE = {"loss": "losses", "states": "states"}  # what `llc` takes several of
OPEN: dict[str, Any] = {"localization": 1.0, "nbeta": None, "sampler": "auto", "step_size": None}


def calibrate(
    path: Path,
    settings: dict[str, Any],
    tried: dict[str, Any],
    names: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Sweep a run or study, write `calibration/` in it and print one setting for all of it.

    A study's own settings are the default, as for `llc`.

    Args:
        path: of the run or study.
        settings: of the estimates, in the names of `LLCPlan` but `loss` for `losses`.
        tried: of `Sweep`: localizations, nbeta_factors, step_sizes, exact, exact_states.
        names: runs of the study; none is one of each arm.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        0 when a sound setting was found and no estimate failed to run, else 1.

    Raises:
        InputError: a value is wrong.
    """
    target = open_path(path)
    settings = _with_states(settings)
    plan = _plan(target, settings)
    sweep = Sweep(settings_of(plan), **tried)
    if sweep.exact and build_loss(plan.losses[0], None).redrawn:
        raise InputError(f"--exact needs a fixed loss, but {plan.losses[0]} redraws its actions")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        open_plan = replace(plan, **OPEN)  # the sweep sets these; a unit's name must not
        found, failed = calibrate_path(target, open_plan, sweep, names, engine)
    for outcome in failed:
        report_failure(outcome)
    command = command_line(path, settings, found.settings.localization)
    write_calibration(path / "calibration", found, command)
    for line in say(path, found, command):
        print(line)
    return 0 if found.sound and not failed else 1


def _with_states(settings: dict[str, Any]) -> dict[str, Any]:
    """On-policy states, unless others are named, for a loss that cannot do with frozen ones."""
    if settings.get("loss", "kl") in (*FROM_STATES, None) or "states" in settings:
        return settings
    return settings | {"states": "on-policy"}


def _plan(target: Run | Study, settings: dict[str, Any]) -> LLCPlan:
    """One loss on one set of states, the frozen one by default; else as `llc` would."""
    known = {} if isinstance(target, Run) else target.config.get("settings", {})
    study = known.get("llc", {}) if isinstance(known, dict) else {}
    values = study if isinstance(study, dict) else {}
    given = {SINGLE.get(k, k): [v] if k in SINGLE else v for k, v in settings.items()}
    return build(LLCPlan, values | {"losses": ["kl"], "states": ["frozen"]} | given, "llc")


def command_line(path: Path, settings: dict[str, Any], localization: float) -> str:
    """The `rl-slt llc` command that uses the recommendation."""
    chosen = settings | {"localization": f"{localization:g}"}
    options = [t for k, v in chosen.items() for t in (f"--{k.replace('_', '-')}", str(v))]
    return shlex.join(["rl-slt", "llc", str(path), *options])


def say(path: Path, found: Calibration, command: str) -> list[str]:
    """The recommendation in a few lines."""
    value = f"localization {found.settings.localization:g}"
    first = f"recommended: {value}" if found.sound else f"nothing tried is sound; nearest: {value}"
    return [
        f"{first}  ({command})",
        f"why: {found.reason}",
        f"table and plot: {path / 'calibration'}",
    ]


def write_calibration(folder: Path, found: Calibration, command: str) -> None:
    """Table, recommendation and plot of a calibration, each whole or not at all."""
    table, picture = found.table, found.plot()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "calibration.csv", lambda p: table.to_csv(p, index=False))
    write_atomic(folder / "calibration.parquet", lambda p: table.to_parquet(p, index=False))
    write_atomic(folder / "plateau.png", lambda p: picture.savefig(p, format="png", dpi=130))
    known = {
        "localization": found.settings.localization,
        "sound": found.sound,
        "reason": found.reason,
        "command": command,
        "policies": list(dict.fromkeys(table["policy"])),
    }
    write_json(folder / "calibration.json", known)
