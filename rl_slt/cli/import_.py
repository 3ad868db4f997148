"""`rl-slt import`: an agent trained elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from rl_slt.cli.options import INTEGER, parse_setting


@click.command("import")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL.zip")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--coin", default="end", show_default=True, help="Placement it was trained with.")
@click.option("--levels", metavar="A:B", help="Levels it was trained on [all].")
@click.option("--arm", default="unnamed", show_default=True, help="Condition it belongs to.")
@click.option("--steps", type=INTEGER, help="Steps it was trained for [what MODEL says].")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Other training settings it had, as --set time_limit=200; repeatable.",
)  # fmt: skip
def command(
    model: Path,
    out: Path,
    coin: str,
    levels: str | None,
    arm: str,
    steps: int | None,
    settings: tuple[str, ...],
) -> None:
    """Make a run of a stable-baselines3 agent (.zip) or of plain weights (.safetensors, .pt).

    Give trusted files only. What is said of its training decides the levels it is studied on.

    \b
    Example:
      rl-slt import model.zip runs/theirs --coin end --levels 0:500
    """
    from rl_slt.pipeline.stages.train import import_run

    changes = {"coin": coin, "levels": levels} | dict(parse_setting(text) for text in settings)
    import_run(model, out, changes, steps, arm)
    click.echo(f"run: {out}")
