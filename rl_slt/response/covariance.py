"""Covariances over correlated draws, many at once, each with a standard error.

The posterior's response to a small change of its loss is a covariance under it (linear response):
`d/de E[O]` at e = 0 of the posterior with `L + e D` in the place of L is `-nbeta Cov(O, D)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rl_slt.errors import InputError

Array = NDArray[np.float64]
LEAST_DRAWS = 16  # of each chain: fewer tell no error
BLOCKS = 8  # of each chain at most, so that a block is longer than draws remember
APART = 1e-3  # probability that chains of a quantity are called apart that are not


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariances `[P, S]` of P quantities with S others.

    Attributes:
        value: over all draws of all chains.
        stderr: from the differences of blocks of draws (`covariance`); NaN where chains of one of
            the two are apart.
        correlation: the value over both standard deviations; NaN where one never changes.
        dof: degrees of freedom of the standard error.
    """

    value: Array
    stderr: Array
    correlation: Array
    dof: int

    @property
    def p_value(self) -> Array:
        """Of each to be 0, by Student's t, two-sided; NaN without an error."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(2 * stats.t.sf(abs(self.value / self.stderr), self.dof))

    def distinct(self, rate: float = 0.1) -> NDArray[np.bool_]:
        """Which are told from 0 at a false discovery rate (Benjamini & Hochberg 1995) `[P, S]`."""
        p = np.nan_to_num(self.p_value, nan=1.0)
        return np.asarray(stats.false_discovery_control(p.ravel()).reshape(p.shape) <= rate)


def covariance(a: Array, b: Array) -> Covariance:
    """Covariances of all quantities of one kind with all of another, over the same draws.

    The standard error comes from batch means (Flegal & Jones 2010, of products): each chain is cut
    into blocks, longer than its draws remember, and a block's mean of `(a - mean a)(b - mean b)` is
    one observation. It needs no estimate of how long that is, of 10^5 pairs, and holds what
    differs between chains, as deviations are from the means over all of them.

    Chains that stay apart make a covariance of their own, which blocks repeat: the verdict of an
    estimate sees it in the loss, not in one state's. Where the means of a quantity's blocks differ
    between chains by more than within them (F test, 0.1 %), its covariances have no error.

    Args:
        a: draws `[C, T, P]` of C chains.
        b: draws `[C, T, S]`.

    Raises:
        InputError: fewer than 16 draws of each chain.
    """
    chains, draws, _ = a.shape
    if draws < LEAST_DRAWS:
        raise InputError.of("draws", draws, f"at least {LEAST_DRAWS} of each chain")
    length = max(-(-draws // BLOCKS), 2)
    blocks = draws // length
    a, b = (x[:, draws - blocks * length :].astype(np.float64) for x in (a, b))
    apart = [_apart(x.reshape(chains, blocks, length, -1).mean(2)) for x in (a, b)]
    a, b = (x - x.mean((0, 1)) for x in (a, b))
    total, squares = np.zeros((a.shape[2], b.shape[2])), np.zeros((a.shape[2], b.shape[2]))
    for chain in range(chains):
        for first in range(0, blocks * length, length):
            part = slice(first, first + length)
            mean = a[chain, part].T @ b[chain, part] / length
            total += mean
            squares += mean**2
    n = chains * blocks
    value = total / n
    variance = (squares / n - value**2).clip(min=0.0) * n / (n - 1)
    variance[np.logical_or.outer(*apart)] = np.nan
    scale = np.sqrt(np.outer((a**2).mean((0, 1)), (b**2).mean((0, 1))))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = value / scale
    unbiased = a.shape[1] * chains / (a.shape[1] * chains - 1)
    return Covariance(unbiased * value, unbiased * np.sqrt(variance / n), correlation, n - 1)


def _apart(means: Array) -> NDArray[np.bool_]:
    """Whether chains differ by more than chance, of block means `[C, B, P]` of P quantities."""
    chains, blocks, _ = means.shape
    if chains < 2:
        return np.zeros(means.shape[2], bool)
    between, within = blocks * means.mean(1).var(0, ddof=1), means.var(1, ddof=1).mean(0)
    most = stats.f.isf(APART, chains - 1, chains * (blocks - 1))
    return np.asarray(between > most * within)
