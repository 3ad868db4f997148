"""`rl-slt rollout`: look at an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import INTEGER, SEED


@click.command("rollout")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", type=INTEGER, help="Checkpoint [the last].")
@click.option("--coin", default="behind", show_default=True, help="Coin placement.")
@click.option("--level", type=INTEGER, default=2_000_000_000, show_default=True, help="Level seed.")
@click.option("--policy", default="agent", show_default=True,
              help="agent, random, coin-blind or coin-seeker.")  # fmt: skip
@click.option("--mode", default="sampled", show_default=True, help="sampled or greedy actions.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the action noise.")
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="File to write: .gif, or .png for a film strip.")  # fmt: skip
def command(run: Path, out: Path, **settings: Any) -> None:
    """Film one episode of a checkpoint on the kind of levels that the run was trained on.

    \b
    Example:
      rl-slt rollout demo/runs/behind-s0 --coin behind --out clip.gif
    """
    from rl_slt.pipeline.commands.rollout import film

    click.echo(f"{film(run, out, **settings)}\nclip: {out.resolve()}")
