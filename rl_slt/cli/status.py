"""`rl-slt status`: what is done, running, failed, missing."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("status")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(runs: tuple[Path, ...]) -> None:
    """Tell what is done, running, failed and missing in runs or studies.

    \b
    Example:
      rl-slt status demo
    """
    from rl_slt.pipeline.commands.status import describe

    for path in runs:
        for line in describe(path):
            click.echo(line)
