"""The changes of a series: which ramps it takes to explain it, and where they lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.transitions.points import Points, noise_level
from analysis.transitions.ramps import Model, Ramps

Array = npt.NDArray[np.float64]
COST = 1.92  # nats that a change must be worth, next to its share of the error rate
REFUTED = 0.02  # p-value of the residuals below which the standard errors are too small
_ROUNDS = 3
_PER_CHANGE = 6  # points for each change, at least


def search(points: Points, ramps: Ramps, level: float) -> tuple[float, Model, list[int]]:
    """The p-value of any change in a series, the noise it was held against, and its changes.

    Known standard errors are believed unless the residuals are too large for them (chi-square);
    then, and where there are none, the noise is estimated from the residuals, point by point.

    Args:
        points: of the series.
        ramps: `build_ramps` of its checkpoints.
        level: p-value up to which a change is one.

    Returns:
        p-value, model, and numbers of ramps in order.
    """
    # values that are rounded: a flip between neighbors, with equal odds, has half their distance
    floor = np.where(points.stderr > 0.0, points.stderr, 0.5 * points.resolution)
    p = 0.0
    if np.all(points.stderr > 0.0):
        model = Model(points.index, points.values, points.stderr)
        p, chosen = _explain(model, ramps, level)
        residuals = model.residuals(ramps.design(chosen))
        freedom = max(len(points) - 1 - 2 * len(chosen), 1)
        if stats.chi2.sf(np.sum(residuals**2), freedom) >= REFUTED:
            return p, model, chosen
    own = max(noise_level(points.values) ** 2 - float(np.median(floor)) ** 2, 0.0)
    model = Model(points.index, points.values, np.sqrt(floor**2 + own), floor)
    again, chosen = _explain(model, ramps, level)
    return max(p, again), model, chosen if p <= level else []


def _explain(model: Model, ramps: Ramps, level: float) -> tuple[float, list[int]]:
    """Grow the changes twice, with steps alone and with all ramps, and keep the likelier."""
    p, found = _grow(model, ramps, level, np.ones_like(ramps.share, dtype=bool))
    if not found:
        return p, []
    _, steps = _grow(model, ramps, level, ramps.end - ramps.begin == 1)

    def score(chosen: list[int]) -> float:
        costs = np.log(ramps.share[chosen]) - COST
        return model.loglik(ramps.design(chosen)) + float(np.sum(costs))

    return p, max((found, steps) if steps else (found,), key=score)


def _grow(
    model: Model, ramps: Ramps, level: float, allowed: npt.NDArray[np.bool_]
) -> tuple[float, list[int]]:
    """Add the likeliest change while one is significant next to those before it."""
    chosen: list[int] = []
    first = 1.0
    while len(chosen) < len(model.values) // _PER_CHANGE:
        free = np.flatnonzero(ramps.apart(chosen) & allowed)
        if not len(free):
            break
        sizes = model.measure(ramps.design(chosen), ramps.columns[:, free])
        p = min(float(np.min(sizes.p_values() / ramps.share[free])), 1.0)
        if not chosen and np.all(allowed):
            first = p = model.exact(sizes, ramps.share, p)
        if p > level:
            break
        chosen = [*chosen, int(free[np.nanargmax(sizes.gain + np.log(ramps.share[free]))])]
        if np.all(allowed):
            chosen = refine(model, ramps, chosen)
    return first, _prune(model, ramps, refine(model, ramps, chosen), level)


def likely(model: Model, ramps: Ramps, chosen: list[int], j: int) -> Array:
    """Log posterior up to a constant of each ramp instead of change j, the others held, `[k]`."""
    rest = [c for i, c in enumerate(chosen) if i != j]
    gain = model.measure(ramps.design(rest), ramps.columns).gain + np.log(ramps.share)
    low = max((ramps.end[c] for c in rest if ramps.end[c] <= ramps.begin[chosen[j]]), default=0)
    high = min(
        (ramps.begin[c] for c in rest if ramps.begin[c] >= ramps.end[chosen[j]]), default=np.inf
    )
    inside = (ramps.begin >= low) & (ramps.end <= high)
    return np.where(inside & np.isfinite(gain), gain, -np.inf)


def refine(model: Model, ramps: Ramps, chosen: list[int]) -> list[int]:
    """Move each change to where it is likeliest between its neighbors, until none moves."""
    chosen = sorted(chosen, key=lambda k: ramps.begin[k])
    for _ in range(_ROUNDS):
        before = list(chosen)
        for j in range(len(chosen)):
            chosen[j] = int(np.argmax(likely(model, ramps, chosen, j)))
        if chosen == before:
            break
    return chosen


def _prune(model: Model, ramps: Ramps, chosen: list[int], level: float) -> list[int]:
    """Drop changes, weakest first, that are not significant next to the others."""
    while len(chosen) > 1:
        p = []
        for k in chosen:
            rest = ramps.design([c for c in chosen if c != k])
            p.append(
                float(model.measure(rest, ramps.columns[:, [k]]).p_values()[0]) / ramps.share[k]
            )
        if max(p) <= level:
            break
        chosen = refine(model, ramps, [c for i, c in enumerate(chosen) if i != int(np.argmax(p))])
    return chosen
