"""Intervals for rates and for scores made of several rates measured on the same levels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

Floats = NDArray[np.float64]
LEVEL = 0.95
_PSEUDO = 4


@lru_cache(maxsize=1 << 14)  # scipy takes a millisecond, and rates of the same levels recur
def wilson(successes: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a probability (Wilson 1927, J. Am. Stat. Assoc. 22, 209).

    Args:
        successes: number of successes.
        n: number of trials; (0, 1) is returned for none.
        level: nominal coverage.
    """
    if n == 0:
        return 0.0, 1.0
    low, high = binomtest(int(successes), n).proportion_ci(level, method="wilson")
    return float(low), float(high)


def mean_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of a mean; (nan, nan) for fewer than two values, or where all agree."""
    n = len(values)
    if n < 2 or np.ptp(values) == 0:  # which does not make the mean certain
        return float("nan"), float("nan")
    half = float(_student(level, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return float(values.mean()) - half, float(values.mean()) + half


@lru_cache(maxsize=1 << 10)
def _student(level: float, freedom: float) -> float:
    """How many standard errors the two-sided interval of a mean reaches to each side."""
    return float(t.ppf(0.5 + level / 2, freedom))


def crossed_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a mean over seeds and levels, where each seed meets the same levels.

    Both are samples, of seeds and of levels: with the mean squares `M` of seeds, of levels and of
    what is left in a two-way table without repeats,

        Var(mean) = (M_seeds + M_levels - M_rest) / (S L),

    at least that of the seeds alone, `M_seeds / (S L)`, with Satterthwaite's degrees of freedom
    (Cornfield & Tukey 1956, Ann. Math. Stat. 27, 907; Satterthwaite 1946, Biometrics 2, 110).

    Args:
        values: `[S, L]` of seeds and levels, such as the changes between two agents of one seed.
        level: nominal coverage.

    Returns:
        The ends; (nan, nan) for fewer than two seeds or levels.
    """
    n_seeds, n_levels = values.shape
    if min(values.shape) < 2:
        return float("nan"), float("nan")
    mean, seeds, levels = values.mean(), values.mean(axis=1), values.mean(axis=0)
    df = np.array([n_seeds - 1, n_levels - 1, (n_seeds - 1) * (n_levels - 1)])
    rest = values - seeds[:, None] - levels + mean
    squares = np.array([n_levels * seeds.var(ddof=1), n_seeds * levels.var(ddof=1),
                        (rest**2).sum() / df[2]])  # fmt: skip
    total = squares[0] + squares[1] - squares[2]
    freedom = total**2 / max((squares**2 / df).sum(), 1e-300)
    if total <= squares[0]:
        total, freedom = squares[0], df[0]
    half = float(_student(level, max(freedom, 1.0)) * np.sqrt(total / values.size))
    return float(mean) - half, float(mean) + half


def rate_draws(outcomes: Floats, n_draws: int = 2000, seed: int = 0) -> Floats:
    """Posterior draws of several rates that were observed together on the same levels.

    Levels are reweighted as a whole, so that what is paired stays paired: a Bayesian bootstrap
    (Rubin 1981, Ann. Stat. 9, 130) with one pseudo-level of prior mass whose outcomes are coin
    tosses. Without it an outcome never seen would get an interval of width zero. Each single
    rate then has Jeffreys' posterior Beta(successes + 1/2, failures + 1/2).

    Args:
        outcomes: `[levels, k]`, 0 or 1: outcome of each level under each of k conditions.
        n_draws: draws.
        seed: of the draws.

    Returns:
        `[n_draws, k]` rates.
    """
    n, k = outcomes.shape
    rng = np.random.default_rng(seed)
    weights = rng.standard_exponential((n_draws, n))
    # A Dirichlet process of mass 1 over coin tosses, by its finite approximation
    # (Ishwaran & Zarepour 2002, Can. J. Stat. 30, 269).
    prior = rng.standard_gamma(1 / _PSEUDO, (n_draws, _PSEUDO))
    tosses = rng.integers(0, 2, (n_draws, _PSEUDO, k))
    total = weights.sum(axis=1) + prior.sum(axis=1)
    hits = weights @ outcomes + np.einsum("dm,dmk->dk", prior, tosses)
    return np.asarray(hits / total[:, None])


def quantile_interval(draws: Floats, value: float, level: float = LEVEL) -> tuple[float, float]:
    """Central interval of the finite draws, widened if need be to hold the estimate itself."""
    kept = draws[np.isfinite(draws)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value)
