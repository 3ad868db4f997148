"""`rl-slt report`: one page, or a table for machines."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--format", "form", default="html", show_default=True, help="html, md or json.")
def command(runs: tuple[Path, ...], out: Path, form: str) -> None:
    """Write the report of a run or study, or a comparison of several.

    \b
    Examples:
      rl-slt report demo --out demo.html
      rl-slt report runs/a runs/b --out ab.md --format md
    """
    from rl_slt.pipeline.commands.report import report

    click.echo(f"report: {report(runs, out, form).resolve()}")
