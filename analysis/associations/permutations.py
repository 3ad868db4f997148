"""Tests over runs: the training seed is the sample, and runs are permuted within their arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from math import factorial, prod

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

Array = npt.NDArray[np.float64]
MIN_RUNS = 5  # no p-value below
DRAWS = 1999
EXACT = 11  # seeds up to which all sign patterns are tried


def pairings(arms: Sequence[str], draws: int = DRAWS, seed: int = 0) -> npt.NDArray[np.int_]:
    """Pairings of runs permuted within their arms, `[b, runs]`; all of them where they are few.

    Drawn ones may hold the observed pairing by chance; all of them hold it once.

    Args:
        arms: of each run.
        draws: pairings drawn where there are more.
        seed: of the draws.
    """
    groups = [np.flatnonzero(np.asarray(arms) == arm) for arm in sorted(set(arms))]
    if prod(factorial(len(g)) for g in groups) <= draws + 1:
        every = product(*(list(permutations(g)) for g in groups))
        rows = [np.concatenate([np.asarray(part) for part in parts]) for parts in every]
    else:
        rng = np.random.default_rng(seed)
        rows = [np.concatenate([rng.permutation(g) for g in groups]) for _ in range(draws)]
    out = np.empty((len(rows), len(arms)), dtype=int)
    out[:, np.concatenate(groups)] = np.array(rows)
    return out


def permutation_p(
    statistic: Callable[[npt.NDArray[np.int_]], Array],
    arms: Sequence[str],
    draws: int = DRAWS,
    one_sided: bool = False,
) -> tuple[float, float]:
    """A statistic of the observed pairing, and its p-value against pairings within arms.

    `p = (1 + exceedances) / (1 + B)`, B not counting the observed pairing. Two-sided by size
    unless `one_sided`. The p-value is NaN where the statistic is, and below `MIN_RUNS` runs.

    Args:
        statistic: of pairings `[b, runs]`, giving `[b]`.
        arms: arm of each run.
        draws: pairings drawn where there are more.
        one_sided: count larger values only.
    """
    same = np.arange(len(arms))
    value = observed = float(statistic(same[None])[0])
    if len(arms) < MIN_RUNS or not np.isfinite(observed):
        return value, np.nan
    rows = pairings(arms, draws)
    others = statistic(rows[np.any(rows != same, axis=1)])
    if len(others) == 0:
        return value, np.nan
    if not one_sided:
        observed, others = abs(observed), np.abs(others)
    beaten = int(np.sum(np.nan_to_num(others, nan=np.inf) >= observed - 1e-12))
    return value, (1 + beaten) / (1 + len(others))


def mean_of_table(table: Array) -> Callable[[npt.NDArray[np.int_]], Array]:
    """Statistic: mean over runs i of `table[i, partner of i]`, NaN entries left out."""
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    runs = np.arange(len(table))

    def statistic(order: npt.NDArray[np.int_]) -> Array:
        count = known[runs, order].sum(axis=1)
        total = filled[runs, order].sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return statistic


def sign_flip_p(values: Array, seed: int = 0) -> float:
    """One-sided p-value that the mean of `[seeds]` values, symmetric around 0, is this large.

    All `2^seeds` patterns up to `EXACT` seeds, `DRAWS` drawn ones above;
    `p = (1 + exceedances) / (1 + B)`, B not counting the observed signs.
    """
    n = len(values)
    if n <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))[1:]
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (DRAWS, n))
    beaten = int(np.sum(signs @ values >= values.sum() - 1e-12))
    return (1 + beaten) / (1 + len(signs))


def q_values(p_values: pd.Series) -> pd.Series:
    """False discovery rate of each test of a table, at any dependence between tests.

    Benjamini & Yekutieli 2001; a missing p-value is no test and has none.
    """
    out = p_values.astype("float64")
    known = out.notna()
    if known.any():
        out[known] = false_discovery_control(out[known].to_numpy(), method="by")
    return out
