"""`rl-slt llc`: the LLC of every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import chain_options, engine_options


@click.command("llc")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--loss", "losses", multiple=True,
    help="kl, nll, regret[:clip=C,self-normalized], surrogate[:clip=C] or value; repeatable [kl].",
)  # fmt: skip
@click.option(
    "--states",
    multiple=True,
    help="on-policy, frozen or probe, then :PLACEMENT or /FILTER; repeatable [frozen, on-policy].",
)
@click.option("--n-states", type=int, help="States in each set; n of the LLC.")
@click.option(
    "--reference", help="self, last, or RUN@STEP: the policy that the loss compares with."
)
@click.option("--step-size", type=float, help="Fixed step size [adapted in burn-in].")
@click.option("--nbeta", type=float, help="n times the inverse temperature [n / log n].")
@click.option("--localization", type=float, help="Strength gamma of the localization.")
@chain_options
@engine_options
def command(
    runs: tuple[Path, ...], workers: int | None, scheduler: str | None, **given: Any
) -> int:
    """Estimate the LLC of every checkpoint of runs or studies.

    Finished estimates are kept and not made again; another setting adds rows.

    \b
    Examples:
      rl-slt llc runs/a
      rl-slt llc demo --loss nll --states frozen --chains 8 --draws 400
      rl-slt llc runs/a --states probe:behind --states frozen/coin-in-view
      rl-slt llc runs/a --loss surrogate:clip=0.2 --states on-policy
    """
    from rl_slt.pipeline.commands.over_runs import llc

    settings = {name: value for name, value in given.items() if value not in (None, ())}
    return llc(runs, settings, workers, scheduler)
