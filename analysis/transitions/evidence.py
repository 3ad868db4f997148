"""Is there any change at all? A likelihood ratio with a null law from simulation.

Gain of a shape k: `max_(phi <= 0.5) l(AR(1) + k) - max_(phi <= 0.9) l(AR(1))`. A family's shapes
come in parts: single changes of each width, pairs of changes, several level shifts. The statistic
is the largest gain, each part's less an offset that shares out the error rate (most of it to the
single step). Its law depends on the number of points and the true phi, not on level or scale; the
table holds the largest quantile over phi in [0, 0.9], so a p-value holds for all of that range. The
cap on phi beside a change is what keeps power: a step inflates the correlation found without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.transitions.noise import candidate_logliks, null_loglik
from analysis.transitions.null_quantiles import QUANTILES, TAILS
from analysis.transitions.pairs import pair_logliks
from analysis.transitions.points import Axis, Points
from analysis.transitions.segments import best_segments
from analysis.transitions.shapes import EDGE, Family

Array = npt.NDArray[np.float64]
MIN_POINTS = 8
MIN_SEGMENT = 3  # points per level, on average, for several level shifts to be tried
LEVEL = 0.049  # of 5 % promised: the rest is for what the simulated quantiles err by


@dataclass(frozen=True)
class Evidence:
    """The most surprising shape, as members of the family, and its p-value."""

    chosen: list[int]
    statistic: float
    p_value: float


def weigh(points: Points, family: Family) -> Evidence:
    """Evidence for any change in a series."""
    gains, members = parts(points.values[None], points.axis, family)
    sizes = {name: gain[0] - offset(family.name, name, len(points)) for name, gain in gains.items()}
    best = max(sizes, key=lambda name: float(sizes[name]))
    statistic = float(sizes[best])
    return Evidence(
        members[best][0].tolist(), statistic, p_value(family.name, len(points), statistic)
    )


def parts(
    values: Array, axis: Axis, family: Family
) -> tuple[dict[str, Array], dict[str, npt.NDArray[np.int_]]]:
    """Largest gain of each part of a family, `[s]`, and the members that give it, `[s, c]`."""
    one = np.ones((len(axis), 1))
    null = null_loglik(values, axis, one)
    single = candidate_logliks(values, axis, one, family.columns) - null[:, None]
    gains: dict[str, Array] = {}
    members: dict[str, npt.NDArray[np.int_]] = {}
    for width in np.unique(family.width):
        of = np.flatnonzero(family.width == width)
        best = of[np.argmax(single[:, of], axis=1)]
        gains[f"{width:g}"] = np.max(single[:, of], axis=1)
        members[f"{width:g}"] = best[:, None]
    if family.name == "step":
        logs, where = best_segments(values, axis)
        most = min(logs.shape[1], len(axis) // MIN_SEGMENT - 1)
        for changes in range(2, most + 1):
            gains[f"{changes} steps"] = logs[:, changes - 1] - null
            first = where[:, changes - 1, :changes] - EDGE  # steps lie in order of place
            members[f"{changes} steps"] = np.clip(first, 0, len(family.place) - 1)
    else:
        for name, (logs, both) in pair_logliks(values, axis, family).items():
            gains[name], members[name] = logs - null, both
    return gains, members


def offset(family: str, part: str, m: int) -> float:
    """What is taken off the gain of a part in a series of m points."""
    return float(_in_size(f"{family}:{part}", m)[0])


def threshold(family: str, m: int, level: float = LEVEL) -> float:
    """Statistic that a series of m points without change exceeds with probability `level`."""
    return float(np.interp(-np.log(level), -np.log(TAILS), _in_size(family, m)))


def p_value(family: str, m: int, statistic: float) -> float:
    """Probability of such a statistic without change, at the worst phi up to 0.9."""
    tail, quantile = np.log(TAILS), _in_size(family, m)
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
