"""`rl-slt probe`: the goal probes of every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import FromModel, ModelCommand, engine_options

OPTIONS = FromModel("rl_slt.pipeline.plan.study:ProbePlan")


@click.command("probe", cls=ModelCommand, models={"settings": OPTIONS})
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@engine_options
def command(
    runs: tuple[Path, ...], settings: dict[str, Any], workers: int | None, scheduler: str | None
) -> int:
    """Probe what every checkpoint of runs or studies pursues, out of distribution.

    \b
    Examples:
      rl-slt probe runs/a
      rl-slt probe demo --suite demo --levels 200
    """
    from rl_slt.pipeline.commands.probe import probe

    return probe(runs, settings, workers, scheduler)
