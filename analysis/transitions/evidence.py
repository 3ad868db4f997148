"""Is there any change at all? A likelihood ratio with a null law from simulation.

Statistic: `T = max_k max_(phi <= 0.65) l(AR(1) + change k) - max_(phi <= 0.9) l(AR(1)) - offset_w`,
maximised over places and widths of the change. Its law depends on the number of points and on the
true phi, not on level or scale; the table holds the largest quantile over phi in [0, 0.9], so a
p-value holds for every noise in that range. The cap on phi beside a change is what keeps power: a
step inflates the correlation estimated without it. `offset_w` evens out the widths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.transitions.noise import CHANGE_MAX, scores
from analysis.transitions.null_quantiles import QUANTILES, TAILS
from analysis.transitions.points import Points
from analysis.transitions.shapes import Family

Array = npt.NDArray[np.float64]
MIN_POINTS = 8
LEVEL = 0.05


@dataclass(frozen=True)
class Evidence:
    """Best candidate of a family and how surprising it would be without any change."""

    best: int
    statistic: float
    p_value: float


def weigh(points: Points, family: Family, base: Array | None = None) -> Evidence:
    """Evidence for one change more than the base model `[m, b]` (default: a constant)."""
    base = np.ones((len(points), 1)) if base is None else base
    null, gains = scores(points, base, family.columns, CHANGE_MAX)
    gains = gains - null - offsets(family, len(points))
    best = int(np.argmax(gains))
    statistic = float(gains[best])
    return Evidence(best, statistic, p_value(family.name, len(points), statistic))


def offsets(family: Family, m: int) -> Array:
    """What is taken off each candidate's gain for its width, `[k]`."""
    out = np.zeros(len(family.width))
    for width in np.unique(family.width):
        out[family.width == width] = _in_size(f"{family.name}:offset:{width:g}", m)[0]
    return out


def threshold(name: str, m: int, level: float = LEVEL) -> float:
    """Statistic that a series of m points without change exceeds with probability `level`."""
    tail, quantile = np.log(TAILS), _in_size(name, m)
    return float(np.interp(-np.log(level), -tail, quantile))


def p_value(name: str, m: int, statistic: float) -> float:
    """Probability of such a statistic without change, at the worst phi up to 0.9."""
    tail, quantile = np.log(TAILS), _in_size(name, m)
    if statistic > quantile[-1]:  # exponential beyond the last simulated quantile
        slope = (tail[-1] - tail[-3]) / max(quantile[-1] - quantile[-3], 1e-9)
        return float(max(np.exp(tail[-1] + slope * (statistic - quantile[-1])), 1e-12))
    if statistic < quantile[0]:
        return 1.0
    return float(np.exp(np.interp(statistic, quantile, tail)))


def _in_size(name: str, m: int) -> Array:
    """Row of the table for a series of m points, interpolated in log m."""
    rows = QUANTILES[name]
    sizes = np.array(sorted(rows), dtype=float)
    table = np.array([rows[int(s)] for s in sizes])
    x = np.log(np.clip(m, sizes[0], sizes[-1]))
    return np.array([np.interp(x, np.log(sizes), column) for column in table.T])
