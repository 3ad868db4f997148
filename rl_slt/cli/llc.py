"""`rl-slt llc`: the LLC of every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rl_slt.cli.options import engine_options


@click.command("llc")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--loss", "losses", multiple=True, help="kl, nll, ...; repeatable [kl].")
@click.option(
    "--states",
    multiple=True,
    help="on-policy or frozen, then :PLACEMENT or /FILTER; repeatable [frozen and on-policy].",
)
@click.option("--n-states", type=int, help="States in each set; n of the LLC.")
@click.option(
    "--reference", help="self, last, or RUN@STEP: the policy that the loss compares with."
)
@click.option("--params", help="Names of the parameters that may move, as 'trunk.*' [all].")
@click.option("--sampler", help="auto, baoab, sgld, rmsprop-sgld, sgnht, mala, hmc, ... [auto].")
@click.option("--step-size", type=float, help="Fixed step size [adapted in burn-in].")
@click.option("--nbeta", type=float, help="n times the inverse temperature [n / log n].")
@click.option("--localization", type=float, help="Strength gamma of the localization.")
@click.option("--chains", type=int, help="Independent chains.")
@click.option("--draws", type=int, help="Draws of each chain after burn-in.")
@click.option("--burn-in", type=int, help="Steps of each chain that do not count.")
@click.option("--batch-size", type=int, help="States of one gradient.")
@click.option("--whitening", type=int, help="Directions of curvature made round; 0 is none.")
@click.option("--seed", type=int, help="Seed of the chains and of the state sets.")
@engine_options
def command(
    runs: tuple[Path, ...], workers: int | None, scheduler: str | None, **given: Any
) -> int:
    r"""Estimate the LLC of every checkpoint of runs or studies.

    Finished estimates are kept and not made again; another setting adds rows.

    \b
    Examples:
      rl-slt llc runs/a
      rl-slt llc demo --loss nll --states frozen --chains 8 --draws 400
    """
    from rl_slt.pipeline.commands import llc

    settings = {name: value for name, value in given.items() if value not in (None, ())}
    return llc(runs, settings, workers, scheduler)
