"""The command that calibrates a run or study: files, and a recommendation for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import write_atomic, write_json
from rl_slt.calibration.calibrate import Calibration, Sweep
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.over_runs import report_failures
from rl_slt.pipeline.disk.layout import Study, open_path
from rl_slt.pipeline.engine.jobs import open_engine, workers_on
from rl_slt.pipeline.plan.by_name import build_loss
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.calibrate import calibrate_path

VARIED: dict[str, Any] = {"localization": 1.0, "nbeta": None, "sampler": "auto", "step_size": None}


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
        found, failed = calibrate_path(target, plan.replace(**VARIED), sweep, names, engine)
    report_failures(failed)
    command = command_line(path, settings, found.settings.localization)
    write_calibration(path / "calibration", found, command)
    value = f"localization {found.settings.localization:g}"
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
