"""`rl-slt train`: one agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import INTEGER, FromModel, ModelCommand, parse_setting

OPTIONS = FromModel(
    "agents:TrainConfig",
    only=("coin", "steps", "seed", "levels", "network", "device"),
    defaults={"steps": "1000000", "network": "small"},  # in `train_run`, without a preset
)


@click.command("train", cls=ModelCommand, models={"changes": OPTIONS})
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--arm", metavar="NAME", help="Condition that the run belongs to [unnamed].")
@click.option("--preset", help="Named PPO settings: paper or demo [paper].")
@click.option("--resume", is_flag=True, help="Go on with an unfinished training in OUT.")
@click.option("--from", "from_run", type=click.Path(path_type=Path), help="Branch off this run ...")
@click.option("--step", type=INTEGER, help="... at this checkpoint.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Any other setting of agents.TrainConfig, as --set gamma=0.99; repeatable.",
)  # fmt: skip
def command(
    out: Path,
    changes: dict[str, Any],
    arm: str | None,
    preset: str | None,
    resume: bool,
    from_run: Path | None,
    step: int | None,
    settings: tuple[str, ...],
) -> None:
    """Train PPO on CoinRun into the run folder OUT, with checkpoints to study.

    \b
    Examples:
      rl-slt train runs/a --coin end --steps 1000000 --seed 0
      rl-slt train runs/b --coin mix:0.5:behind:end --steps 1000000 --preset demo --arm behind
      rl-slt train runs/c --from runs/a --step 65536 --coin behind --steps 500000
    """
    from rl_slt.pipeline.stages.train import train_run

    if (from_run is None) != (step is None):
        raise click.UsageError("--from RUN and --step N go together")
    changes |= dict(parse_setting(text) for text in settings)
    branch = (from_run, step) if from_run is not None and step is not None else None
    train_run(out, preset, changes, arm=arm, resume=resume, branch=branch)
    click.echo(f"run: {out}")
