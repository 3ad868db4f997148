"""Tests across runs: the training seed is the unit, and seeds trade places within their arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product
from math import factorial, prod

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MIN_RUNS = 5  # no p-value below
DRAWS = 1999


def pairings(arms: Sequence[str], draws: int = DRAWS, seed: int = 0) -> npt.NDArray[np.int_]:
    """Ways to pair runs anew within their arms, `[b, runs]`; all of them where they are few.

    The observed pairing is not among drawn ones and is once among all of them.
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
    statistic: Callable[[npt.NDArray[np.int_]], float],
    arms: Sequence[str],
    draws: int = DRAWS,
    one_sided: bool = False,
) -> float:
    """p-value of a statistic of a pairing against all, or `draws`, pairings within arms.

    `p = (1 + exceedances) / (1 + B)`, B not counting the observed pairing. Two-sided by size
    unless `one_sided`. NaN where the statistic is, and below `MIN_RUNS` runs.
    """
    if len(arms) < MIN_RUNS:
        return np.nan
    same = np.arange(len(arms))
    observed = statistic(same)
    others = [row for row in pairings(arms, draws) if not np.array_equal(row, same)]
    if not np.isfinite(observed) or not others:
        return np.nan
    values = np.array([statistic(row) for row in others])
    if not one_sided:
        observed, values = abs(observed), np.abs(values)
    beaten = int(np.sum(np.nan_to_num(values, nan=np.inf) >= observed - 1e-12))
    return (1 + beaten) / (1 + len(values))
