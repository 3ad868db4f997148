"""`rl-slt levels`: look at levels."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("levels")
@click.option("--coin", default="end", show_default=True, help="Coin placement.")
@click.option("--seeds", default="0:8", show_default=True, metavar="A:B", help="Level seeds.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="PNG to write.")
@click.option("--game", default="coinrun", show_default=True, help="coinrun or maze.")
@click.option("--plain", is_flag=True, help="The demo's flat levels with plain assets.")
@click.option("--mode", default="easy", show_default=True, help="Distribution: easy or hard.")
def command(coin: str, seeds: str, out: Path, game: str, plain: bool, mode: str) -> None:
    """Draw a sheet of levels: the agent's first view and the whole level.

    \b
    Example:
      rl-slt levels --coin behind --seeds 0:10 --out sheet.png
    """
    from rl_slt.pipeline.commands.levels import draw_levels

    draw_levels(coin, seeds, out, game=game, plain=plain, mode=mode)
    click.echo(f"sheet: {out.resolve()}")
