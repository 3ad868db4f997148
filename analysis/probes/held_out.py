"""Held out by content: which probe levels have a layout that training meets under another seed.

Level seeds that training never used are not yet levels that it never saw: procgen makes the same
ground from many seeds (`envs.layout_hash`). From a finite range of training levels it is known
which, and these are no probe levels; where training draws from all levels it can only be said how
many of them to expect, and nothing is called held out.
"""

from __future__ import annotations

import itertools

import pandas as pd

import envs
from analysis.probes.intervals import wilson
from analysis.probes.suite import ProbeSuite
from analysis.schema import conform
from rl_slt import InputError

LEVELS = "levels"  # stands in `probe` of rows that are about the levels of a suite
MET, LEFT_OUT = "layout_met", "layout_left_out"
TRAINING_SEEDS = (500, 2000, 8000)  # of unlimited training levels, that layouts are looked up in
MOST_SEARCHED = 50_000  # probe levels that are looked at for layouts not met


def without_met(suite: ProbeSuite, training: tuple[int, int]) -> ProbeSuite:
    """The suite without probe levels whose layout occurs in a range of training levels.

    Args:
        suite: of probes.
        training: half-open range of level seeds.

    Raises:
        InputError: if among the first 50,000 probe levels not `n_levels` have other layouts.
    """
    seen = envs.layouts_of(training, suite.settings, "coinrun")
    met, kept = [], 0
    searched = range(*suite.levels)[:MOST_SEARCHED]
    for seed in searched:
        if int(envs.layout_hashes([seed], suite.settings)[0]) in seen:
            met.append(seed)
        else:
            kept += 1
        if kept == suite.n_levels:
            return suite.replace(met=tuple(met))
    raise InputError.of(
        "n_levels", suite.n_levels,
        f"at most {kept}: no more of {len(searched)} probe levels have a layout that is not among "
        f"the training levels {training[0]}:{training[1]}",
    )  # fmt: skip


def met_rows(suite: ProbeSuite, *, run: str = "") -> pd.DataFrame:
    """How many of a suite's levels are held out by seed alone, with Wilson intervals.

    Args:
        suite: whose levels are looked up; of `without_met` where training has a range.
        run: for the column run.

    Returns:
        Rows of table `probes` without a step, of the probe `levels`: `layout_met:N`, the share of
        probe levels whose layout occurs among the training levels 0 to N - 1, a sample: which
        levels an unlimited training played is not kept, but its layouts are drawn alike, so N
        levels played meet as large a share on average, whichever seeds they are; for a suite of
        `without_met` `layout_left_out`, the share left out of those looked at.
    """
    if suite.met is not None:
        shares = {LEFT_OUT: (len(suite.met), len(suite.met) + suite.n_levels)}
    else:
        own = envs.layout_hashes(suite.seeds, suite.settings).tolist()
        training = envs.layout_hashes(range(TRAINING_SEEDS[-1]), suite.settings).tolist()
        seen = {n: set(itertools.islice(training, n)) for n in TRAINING_SEEDS}
        shares = {f"{MET}:{n}": (sum(one in seen[n] for one in own), len(own)) for n in seen}
    rows = [
        {"probe": LEVELS, "metric": metric, "value": hits / n, "ci_low": wilson(hits, n)[0],
         "ci_high": wilson(hits, n)[1], "n": n}
        for metric, (hits, n) in shares.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(run=run, step=None, version=None, mode=suite.mode)
    return conform("probes", table)


def met_sentence(rows: pd.DataFrame) -> str:
    """What `met_rows` says, as a sentence; empty without such rows."""
    about = rows[rows["probe"].eq(LEVELS)]
    found = {str(row["metric"]): row for row in about.to_dict("records")}
    if out := found.get(LEFT_OUT):
        return (
            f"Held out by layout: {out['value']:.0%} of the probe levels looked at have a layout "
            "that training met under another seed, and were left out."
        )
    shares = [
        f"{one['value']:.0%} [{100 * one['ci_low']:.0f}, {100 * one['ci_high']:.0f}] among {n:,}"
        for n in TRAINING_SEEDS
        if (one := found.get(f"{MET}:{n}"))
    ]
    if not shares:
        return ""
    return (
        "Not held out: training draws from all levels, so the probes show behavior on known kinds "
        "of ground with coin and start elsewhere. Of the probe levels, the ground of "
        f"{', '.join(shares)} level seeds that training draws from is the same; counted on a "
        "sample of such seeds, not on those really played, and more levels share more."
    )
