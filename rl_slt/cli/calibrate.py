"""`rl-slt calibrate`: which settings of the LLC can be trusted on this run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import FromModel, ModelCommand, engine_options

ESTIMATES = FromModel(
    "rl_slt.pipeline.plan.study:LLCPlan",
    without=("step_size", "nbeta", "localization"),  # are what is varied
    flags={"losses": "loss"},
    defaults={"states": "frozen; on-policy if needed"},
)
VARIED = FromModel("rl_slt.settings:Varied", defaults={"exact_states": "256"})


@click.command("calibrate", cls=ModelCommand, models={"varied": VARIED, "settings": ESTIMATES})
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--run", "names", multiple=True, help="A run of the study; repeatable [1 per arm].")
@engine_options
def command(
    run: Path,
    varied: dict[str, Any],
    settings: dict[str, Any],
    names: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
) -> int:
    """Find the settings at which the LLC of a run, or of a study's runs, can be trusted.

    First, middle and last checkpoint are estimated at several localizations, each with the step
    size as adapted and with half of it; then with other nbeta, and with nbeta 0 as a control.
    Recommends the smallest localization at which all are sound, and writes the table and a plot
    to RUN/calibration. One loss is calibrated on one set of states: frozen ones, or on-policy if
    the loss needs episodes. Finished estimates are kept and not made again.

    \b
    Examples:
      rl-slt calibrate demo/runs/behind-s0
      rl-slt calibrate demo --localizations 30,100,300,1000 --exact
      rl-slt calibrate demo --loss regret --batch-size 16
    """
    from rl_slt.pipeline.commands.calibrate import calibrate

    return calibrate(run, settings, varied, names, workers, scheduler)
