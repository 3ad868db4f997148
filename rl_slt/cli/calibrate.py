"""`rl-slt calibrate`: which settings of the LLC can be trusted on this run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import chain_options, engine_options


def _numbers(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
    """Numbers with commas between them."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"{text!r}; allowed: numbers, as 30,100,300") from None


@click.command("calibrate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--run", "names", multiple=True, help="A run of the study; repeatable [1 per arm].")
@click.option("--localizations", callback=_numbers, help="Strengths to try [30,100,300].")
@click.option("--nbeta-factors", callback=_numbers, help="Times n / log n, to try [0.5,2].")
@click.option("--step-sizes", callback=_numbers, help="Also these, in whitened units [none].")
@click.option("--exact", is_flag=True, help="Compare with exact sampling (HMC): minutes for each.")
@click.option("--exact-states", type=int, help="States of that comparison; more is dearer [256].")
@click.option("--loss", help="As of `llc` [kl].")
@click.option(
    "--states",
    help="As of `llc` [frozen; on-policy if needed].",
)
@click.option("--n-states", type=int, help="States in the set; n of the LLC.")
@click.option("--reference", help="self, last, or RUN@STEP.")
@chain_options
@engine_options
def command(
    run: Path,
    names: tuple[str, ...],
    localizations: tuple[float, ...] | None,
    nbeta_factors: tuple[float, ...] | None,
    step_sizes: tuple[float, ...] | None,
    exact: bool,
    exact_states: int | None,
    workers: int | None,
    scheduler: str | None,
    **given: Any,
) -> int:
    """Find the settings at which the LLC of a run, or of a study's runs, can be trusted.

    First, middle and last checkpoint are estimated at several localizations, each with the step
    size as adapted and with half of it; then with other nbeta, and with nbeta 0 as a control.
    Recommends the smallest localization at which all are sound, and writes the table and a plot
    to RUN/calibration. Finished estimates are kept and not made again.

    \b
    Examples:
      rl-slt calibrate demo/runs/behind-s0
      rl-slt calibrate demo --localizations 30,100,300,1000 --exact
      rl-slt calibrate demo --loss regret --batch-size 16
    """
    from rl_slt.pipeline.commands.calibrate import calibrate

    tried = {
        "localizations": localizations, "nbeta_factors": nbeta_factors, "step_sizes": step_sizes,
        "exact": exact, "exact_states": 256 if exact_states is None else exact_states,
    }  # fmt: skip
    tried = {name: value for name, value in tried.items() if value is not None}
    settings = {name: value for name, value in given.items() if value is not None}
    return calibrate(run, settings, tried, names, workers, scheduler)
