"""`rl-slt validate`: is the estimator right on this machine?"""

from __future__ import annotations

from pathlib import Path

import click

from rl_slt.cli.options import SEED
from rl_slt.errors import InputError


@click.command("validate")
@click.option("--only", multiple=True, help="A problem by name; repeatable [all].")
@click.option("--quick", is_flag=True, help="Four problems that take seconds.")
@click.option("--sampler", default="auto", show_default=True, help="Sampler for all problems.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the chains.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the table, as CSV.")
def command(only: tuple[str, ...], quick: bool, sampler: str, seed: int, out: Path | None) -> int:
    """Estimate problems whose LLC is known and print estimate, interval, truth and verdict.

    The exact value is that at the same nbeta, localization and weights; lambda, the limit of large
    nbeta and small localization, stands beside it. Ends with status 1 when an estimate is wrong.

    \b
    Examples:
      rl-slt validate
      rl-slt validate --only quadratic --sampler sgld
    """
    from rl_slt.known.registry import QUICK
    from rl_slt.pipeline.commands.validate import run_validation, text_table

    if quick and only:
        raise InputError("give --quick or --only, not both")
    table = run_validation(QUICK if quick else only, sampler, seed, out)
    click.echo(text_table(table))
    failed = int((table["verdict"] != "pass").sum())
    click.echo(f"{len(table) - failed} of {len(table)} pass")
    return 1 if failed else 0
