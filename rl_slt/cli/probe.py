"""`rl-slt probe`: the goal probes of every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import engine_options


@click.command("probe")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--suite", help="standard or demo [standard].")
@click.option("--levels", type=int, help="Held-out levels of each probe [the suite's own number].")
@click.option("--mode", help="sampled or greedy actions [sampled].")
@click.option("--time-limit", type=int, help="Steps of a probe episode [the suite's own].")
@click.option(
    "--states",
    type=int,
    help="Levels behind the counterfactual and internal probes, 0 for none [as levels, up to 100].",
)
@click.option("--seed", type=int, help="Seed of the action noise [0].")
@engine_options
def command(
    runs: tuple[Path, ...], workers: int | None, scheduler: str | None, **given: Any
) -> int:
    """Probe what every checkpoint of runs or studies pursues, out of distribution.

    \b
    Examples:
      rl-slt probe runs/a
      rl-slt probe demo --suite demo --levels 200
    """
    from rl_slt.pipeline.commands.over_runs import probe

    settings = {name: value for name, value in given.items() if value is not None}
    return probe(runs, settings, workers, scheduler)
