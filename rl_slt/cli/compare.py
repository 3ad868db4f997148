"""`rl-slt compare`: two agents side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import INTEGER, FromModel, ModelCommand

OPTIONS = FromModel("rl_slt.pipeline.plan.study:CompareSettings", flags={"placements": "coin"})


@click.command("compare", cls=ModelCommand, models={"settings": OPTIONS})
@click.argument("first", type=click.Path(path_type=Path), metavar="RUN_A")
@click.argument("second", type=click.Path(path_type=Path), metavar="RUN_B")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Page to write (HTML).")
@click.option("--step-a", type=INTEGER, help="Checkpoint of the first run [its last].")
@click.option("--step-b", type=INTEGER, help="Checkpoint of the second run [its last].")
def command(
    first: Path,
    second: Path,
    out: Path,
    settings: dict[str, Any],
    step_a: int | None,
    step_b: int | None,
) -> None:
    """Show where two agents differ most, how much at most, and what lies between them.

    The comparison is kept with the first run, and later reports of it show it too.

    \b
    Examples:
      rl-slt compare demo/runs/end-s0 demo/runs/behind-s0 --out ab.html
      rl-slt compare runs/a runs/a --step-a 500000 --out before-after.html
    """
    from rl_slt.pipeline.commands.report import compare

    click.echo(f"report: {compare(first, second, out, settings, (step_a, step_b)).resolve()}")
