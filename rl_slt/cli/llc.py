"""`rl-slt llc`: the LLC of every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import FromModel, ModelCommand, engine_options

OPTIONS = FromModel("rl_slt.pipeline.plan.study:LLCPlan", flags={"losses": "loss"})


@click.command("llc", cls=ModelCommand, models={"settings": OPTIONS})
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@engine_options
def command(
    runs: tuple[Path, ...], settings: dict[str, Any], workers: int | None, scheduler: str | None
) -> int:
    """Estimate the LLC of every checkpoint of runs or studies.

    Finished estimates are kept and not made again; another setting adds rows. The settings of a
    study are the default for its runs.

    \b
    Examples:
      rl-slt llc runs/a
      rl-slt llc demo --loss nll --states frozen --chains 8 --draws 400
      rl-slt llc runs/a --states probe:behind --states frozen/coin-in-view
      rl-slt llc runs/a --loss surrogate:clip=0.2 --states on-policy
    """
    from rl_slt.pipeline.commands.llc import llc

    return llc(runs, settings, workers, scheduler)
