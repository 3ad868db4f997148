"""`rl-slt train`: one agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import parse_levels, parse_setting


@click.command("train")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--coin", help="Coin placement: end, behind, mix:0.5:behind:end, ... [end]")
@click.option("--steps", type=int, help="Environment steps, rounded up to whole rollouts.")
@click.option("--seed", type=int, help="Seed of everything [0].")
@click.option("--levels", metavar="A:B", help="Half-open range of level seeds, or all [all].")
@click.option("--network", help="small, nature or impala [small].")
@click.option("--preset", help="Named PPO settings: paper or demo [paper].")
@click.option("--device", help="cpu, cuda, cuda:0, ... [cpu]")
@click.option("--resume", is_flag=True, help="Go on with an unfinished training in OUT.")
@click.option("--from", "from_run", type=click.Path(path_type=Path), help="Branch off this run ...")
@click.option("--step", type=int, help="... at this checkpoint.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting of agents.TrainConfig, as --set gamma=0.99 (repeatable).",
)
def command(
    out: Path,
    preset: str | None,
    levels: str | None,
    resume: bool,
    from_run: Path | None,
    step: int | None,
    settings: tuple[str, ...],
    **given: Any,
) -> None:
    """Train PPO on CoinRun into the run folder OUT, with checkpoints to study.

    \b
    Examples:
      rl-slt train runs/a --coin end --steps 1000000 --seed 0
      rl-slt train runs/b --coin mix:0.5:behind:end --steps 1000000 --preset demo
      rl-slt train runs/c --from runs/a --step 65536 --coin behind --steps 500000
    """
    from rl_slt.pipeline.stages.train import train_run

    if (from_run is None) != (step is None):
        raise click.UsageError("--from RUN and --step N go together")
    changes = {name: value for name, value in given.items() if value is not None}
    if levels is not None:
        changes["levels"] = parse_levels(levels)
    changes |= dict(parse_setting(text) for text in settings)
    branch = (from_run, step) if from_run is not None and step is not None else None
    train_run(out, preset, changes, resume=resume, branch=branch)
    click.echo(f"run: {out}")
