"""`rl-slt compare`: two agents side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path), metavar="RUN_A")
@click.argument("second", type=click.Path(path_type=Path), metavar="RUN_B")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Page to write (HTML).")
@click.option("--step-a", type=int, help="Checkpoint of the first run [its last].")
@click.option("--step-b", type=int, help="Checkpoint of the second run [its last].")
@click.option("--coin", "placements", multiple=True,
              help="Placement of the coin; repeatable [end, behind and none@mid].")  # fmt: skip
@click.option("--n-states", type=int, help="States to compare on.")
@click.option("--points", type=int, help="Points on each line through the weights.")
@click.option("--radius", type=float, help="Reach of the lines, as a share of the weights' norm.")
@click.option("--episodes", type=int, help="Episodes of the return at each point; 0 is none.")
@click.option("--clips", type=int, help="Levels of largest difference to film.")
@click.option("--seed", type=int, help="Seed of levels, actions and random directions.")
def command(
    first: Path, second: Path, out: Path, step_a: int | None, step_b: int | None, **given: Any
) -> None:
    """Show where two agents differ most, how much at most, and what lies between them.

    The comparison is kept with the first run, and later reports of it show it too.

    \b
    Examples:
      rl-slt compare demo/runs/end-s0 demo/runs/behind-s0 --out ab.html
      rl-slt compare runs/a runs/a --step-a 500000 --out before-after.html
    """
    from rl_slt.pipeline.commands.over_runs import compare

    settings = {name: value for name, value in given.items() if value not in (None, ())}
    click.echo(f"report: {compare(first, second, out, settings, (step_a, step_b)).resolve()}")
