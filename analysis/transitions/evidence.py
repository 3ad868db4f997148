"""Is there any change at all? A likelihood ratio whose null distribution is simulated.

Gain of a shape k: `max_(phi <= 0.5) l(AR(1) + k) - max_(phi <= 0.9) l(AR(1))`, in nats. A family
has several kinds of shapes: single changes of each width, pairs of changes, several level shifts.
The statistic is the largest gain, each kind's less an offset that shares out the error rate (most
of it to the single step). Its distribution depends on the number of points and the true phi, not on
level or scale; the table holds the largest quantile over phi in [0, 0.9], so a p-value holds for
all of that range. The cap on phi next to a change is what keeps power: a step inflates the
correlation found without it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.transitions.noise import (
    bases,
    candidate_logliks,
    log_volume,
    min_rss,
    null_loglik,
    residuals,
)
from analysis.transitions.points import Axis, Points
from analysis.transitions.segments import best_segments
from analysis.transitions.shapes import EDGE, Family, build_family

Array = npt.NDArray[np.float64]
Members = npt.NDArray[np.int_]
MIN_POINTS = 8
MIN_SEGMENT = 3  # points per level, on average, for several level shifts to be tried
LEVEL = 0.049  # of 5 % promised: the rest is for what the simulated quantiles err by
PAIR_WIDTHS = (1.0, 4.0, 8.0)
PAIR_MAX = 0.5  # largest correlation next to a pair


def any_change_p_value(points: Points, name: str) -> tuple[float, list[int]]:
    """The p-value of there being any change in a series, and the shape that says so most.

    Args:
        points: of one series, at least `MIN_POINTS`.
        name: of the family of shapes that are tried, `step` or `ramp`.

    Returns:
        p-value (at the worst correlation up to 0.9), and the members of the family that make up
        the shape of largest gain.
    """
    family = build_family(name, points.index)
    gains, members = gains_by_shape(points.values[None], points, family)
    less = {of: float(gain[0]) - offset(name, of, len(points)) for of, gain in gains.items()}
    best = max(less, key=lambda of: less[of])
    return p_value(name, len(points), less[best]), members[best][0].tolist()


def gains_by_shape(
    values: Array, axis: Axis, family: Family
) -> tuple[dict[str, Array], dict[str, Members]]:
    """Largest gain in log likelihood by each kind of shape of a family.

    Args:
        values: series `[s, m]`.
        axis: their checkpoints and relative noise.
        family: `step` (single steps and several level shifts) or `ramp` (single ramps of each
            width, and pairs of one width).

    Returns:
        By kind of shape: gain in nats `[s]`, and the members of the family that give it, `[s, c]`.
    """
    one = np.ones((len(axis), 1))
    null = null_loglik(values, axis, one)
    single = candidate_logliks(values, axis, one, family.columns) - null[:, None]
    gains: dict[str, Array] = {}
    members: dict[str, Members] = {}
    for width in np.unique(family.width):
        of = np.flatnonzero(family.width == width)
        gains[f"{width:g}"] = np.max(single[:, of], axis=1)
        members[f"{width:g}"] = of[np.argmax(single[:, of], axis=1)][:, None]
    if family.name == "step":
        logs, where = best_segments(values, axis)
        most = min(logs.shape[1], len(axis) // MIN_SEGMENT - 1)
        for changes in range(2, most + 1):
            gains[f"{changes} steps"] = logs[:, changes - 1] - null
            first = where[:, changes - 1, :changes] - EDGE  # steps lie in order of location
            members[f"{changes} steps"] = np.clip(first, 0, len(family.location) - 1)
        return gains, members
    for width in PAIR_WIDTHS:
        of = np.flatnonzero(family.width == width)
        if len(of) >= 4:
            best, both = _best_pair(values, axis, family.columns[:, of])
            gains[f"two {width:g}"], members[f"two {width:g}"] = best - null, of[both]
    return gains, members


def _best_pair(values: Array, axis: Axis, columns: Array) -> tuple[Array, Members]:
    """Largest log likelihood with two of the columns `[m, k]`, `[s]`, and which two, `[s, 2]`.

    A rise and a fall of one width are so seen, which a single ramp does not show.
    """
    first, second = np.triu_indices(columns.shape[1], k=2)
    best = np.full(len(values), -np.inf)
    both = np.zeros((len(values), 2), dtype=int)
    every = bases(axis, np.ones((len(axis), 1)), columns, PAIR_MAX)
    e, rss = residuals(values, axis, every)
    volume = log_volume(every.phi, axis.gaps)
    for p in range(0, len(every.phi), 2):
        q = every.columns[p]
        a, b = (e[p].T @ q)[:, first], (e[p].T @ q)[:, second]
        g = (q.T @ q)[first, second]
        free = 1.0 - g**2  # two unit columns explain (a^2 + b^2 - 2 g a b) / (1 - g^2)
        both_explain = (a**2 + b**2 - 2.0 * g * a * b) / np.maximum(free, 1e-6)
        explained = np.where(free > 1e-6, both_explain, 0.0)
        top = np.argmax(explained, axis=1)
        left = np.maximum(rss[p] - explained[np.arange(len(values)), top], min_rss(values))
        logs = volume[p] - 0.5 * len(axis) * np.log(left)
        better = logs > best
        best[better] = logs[better]
        both[better] = np.column_stack([first[top], second[top]])[better]
    return best, both


def offset(family: str, shape: str, m: int) -> float:
    """What is taken off the gain of a kind of shape in a series of m points, in nats."""
    return float(_at_size(family, m, [f"offset {shape}"])[0])


def threshold(family: str, m: int, level: float = LEVEL) -> float:
    """Statistic that a series of m points without change exceeds with probability `level`."""
    tails, quantiles = _null_distribution(family, m)
    return float(np.interp(-np.log(level), -np.log(tails), quantiles))


def p_value(family: str, m: int, statistic: float) -> float:
    """Probability of such a statistic without change, at the worst phi up to 0.9."""
    tails, quantiles = _null_distribution(family, m)
    tail = np.log(tails)
    if statistic > quantiles[-1]:  # exponential beyond the last simulated quantile
        slope = (tail[-1] - tail[-3]) / max(quantiles[-1] - quantiles[-3], 1e-9)
        return float(max(np.exp(tail[-1] + slope * (statistic - quantiles[-1])), 1e-12))
    if statistic < quantiles[0]:
        return 1.0
    return float(np.exp(np.interp(statistic, quantiles, tail)))


def _null_distribution(family: str, m: int) -> tuple[Array, Array]:
    """Tail probabilities, and the statistics that series without change exceed with them."""
    names = [name for name in _null_table(family) if name[0] == "0"]
    return np.array(names, dtype=float), _at_size(family, m, names)


def _at_size(family: str, m: int, names: list[str]) -> Array:
    """Columns of the table for a series of m points, interpolated in log m."""
    table = _null_table(family)
    sizes = table["points"]
    x = np.log(np.clip(m, sizes[0], sizes[-1]))
    return np.array([np.interp(x, np.log(sizes), table[name]) for name in names])


@cache
def _null_table(family: str) -> dict[str, Array]:
    """Columns of `null_quantiles.csv`, which `benchmarks/analysis_null_quantiles.py` makes."""
    path = Path(__file__).with_name("null_quantiles.csv")
    table = pd.read_csv(path, float_precision="round_trip")
    rows = table[table["family"] == family].drop(columns="family")
    return {str(name): rows[name].to_numpy(dtype=float) for name in rows}
