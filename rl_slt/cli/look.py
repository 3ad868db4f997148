"""`rl-slt levels` and `rl-slt rollout`: look at levels and at agents."""

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
def levels(coin: str, seeds: str, out: Path, game: str, plain: bool, mode: str) -> None:
    """Draw a sheet of levels: the agent's first view and the whole level.

    \b
    Example:
      rl-slt levels --coin behind --seeds 0:10 --out sheet.png
    """
    from rl_slt.pipeline.commands.look import draw_levels

    draw_levels(coin, seeds, out, game=game, plain=plain, mode=mode)
    click.echo(f"sheet: {out.resolve()}")


@click.command("rollout")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--step", type=int, help="Checkpoint [the last].")
@click.option("--coin", default="behind", show_default=True, help="Coin placement.")
@click.option("--level", type=int, default=2_000_000_000, show_default=True, help="Level seed.")
@click.option("--policy", default="agent", show_default=True,
              help="agent, random, coin-blind or coin-seeker.")  # fmt: skip
@click.option("--mode", default="sampled", show_default=True, help="sampled or greedy actions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the action noise.")
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="File to write: .gif, or .png for a film strip.")  # fmt: skip
def rollout(
    run: Path,
    step: int | None,
    coin: str,
    level: int,
    policy: str,
    mode: str,
    seed: int,
    out: Path,
) -> None:
    """Film one episode of a checkpoint on the kind of levels that the run was trained on.

    \b
    Example:
      rl-slt rollout demo/runs/behind-s0 --coin behind --out clip.gif
    """
    from rl_slt.pipeline.commands.look import film

    caption = film(run, out, step=step, coin=coin, level=level, who=policy, mode=mode, seed=seed)
    click.echo(f"{caption}\nclip: {out.resolve()}")
