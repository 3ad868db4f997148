"""The changes of a series: which ramps it takes to explain it, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.transitions.points import Points, noise_level
from analysis.transitions.ramps import WIDE_PHIS, Model, Ramps, build_ramps

Array = npt.NDArray[np.float64]
COST = 1.92  # nats that a change must be worth, next to its prior
REFUTED = 0.02  # p-value of the residuals below which the standard errors are far too small
WIDENED = 0.1  # p-value of the residuals below which the standard errors are widened
# share of its range by which a smooth course may be off plateaus and straight lines; with 0.08 two
# in a hundred exact series that only wander (phi 0.5) are taken for such a course, with 0.05 one in
# six goals of a gridworld that give way is lost at 12 points
ROUNDED = 0.07
TOO_SMALL = 0.05  # p-value of the residuals of several runs below which their errors are widened
POOLED = 2  # runs from which on they are asked together
MANY = 20  # points from which on more is made of residuals: of their correlation
WANDERS = 0.1  # p-value of the residuals' correlation below which a larger phi is allowed for
_DRAWS = 400
_ROUNDS = 3
_PER_CHANGE = 6  # points for each change, at least


def search(points: Points, ramps: Ramps, level: float) -> tuple[float, Model, list[int]]:
    """The p-value of any change in a series, the noise it was held against, and its changes.

    Known standard errors are believed unless the residuals are too large for them (chi-square).
    They are then widened by a factor that the residuals give, and never made smaller; far too small
    ones, or none, leave the noise to be estimated from the residuals, point by point. Before that
    a series whose errors are small next to its range, or 0, may be a smooth course: one that stays
    within `ROUNDED` of its range around plateaus and straight lines, as noise hardly ever does.

    Args:
        points: of the series.
        ramps: `build_ramps` of its checkpoints.
        level: p-value up to which a change is one.

    Returns:
        p-value, model, and numbers of ramps in order.
    """
    # values that are rounded: a flip between neighbors, with equal odds, has half their distance
    floor = np.where(points.stderr > 0.0, points.stderr, 0.5 * points.resolution)
    known = bool(np.all(points.stderr > 0.0))
    p = 0.0
    if known:
        p, model, chosen = _believing(points, level)
        rss, fits = _misfit(model, ramps, chosen)
        if fits >= WIDENED or not chosen:
            return p, model, chosen
        if fits >= REFUTED:
            base = ramps.design(chosen)
            rest = (
                _freedom(model, base) if len(points) >= MANY else float(len(points) - base.shape[1])
            )
            wider = max(1.0, np.sqrt(rss / max(rest - len(chosen), 1.0)))
            again, model, chosen = _explain(
                replace(model, scale=wider * points.stderr), ramps, level
            )
            return max(p, again), model, chosen
    least = ROUNDED * float(np.ptp(points.values))
    if (known or points.exact) and np.max(points.stderr) <= least:
        rounded = np.hypot(points.stderr, least)
        again, model, chosen = _explain(Model(points.index, points.values, rounded), ramps, level)
        if chosen and _misfit(model, ramps, chosen)[1] >= WIDENED:
            return max(p, again), model, chosen
    own = max(noise_level(points.values) ** 2 - float(np.median(floor)) ** 2, 0.0)
    model = Model(points.index, points.values, np.sqrt(floor**2 + own), floor)
    again, model, chosen = _explain(model, ramps, level)
    return max(p, again), model, chosen if p <= level else []


def error_scale(series: Sequence[tuple[Points, Ramps]], level: float) -> float:
    """By what factor the errors of series of one kind, of several runs, are too small; at least 1.

    One series of 12 points cannot tell errors that are 1.5 times too small from its changes; those
    of several runs can. Their errors are too small where the residuals of all are (chi-square); the
    factor is that of the middle run, so that one course of another shape does not count.
    """
    if len(series) < POOLED:
        return 1.0
    sums, ratios = np.zeros(2), []
    for points, ramps in series:
        _, model, chosen = _believing(points, level)
        rss, _ = _misfit(model, ramps, chosen)
        sums += rss, max(len(points) - 1 - 2 * len(chosen), 1)
        rest = _freedom(model, ramps.design(chosen)) - len(chosen)
        ratios.append(rss / max(rest, 1.0))
    # once: asked again with wider errors, steps of 3 sd that are no longer found count as noise,
    # and one in ten more is lost
    small = special.chdtrc(*sums[::-1]) < TOO_SMALL
    return max(1.0, float(np.sqrt(np.median(ratios)))) if small else 1.0


def _misfit(model: Model, ramps: Ramps, chosen: list[int]) -> tuple[float, float]:
    """Sum of squared residuals, and its p-value for noise of the model's scale (chi-square)."""
    rss = float(np.sum(model.residuals(ramps.design(chosen)) ** 2))
    return rss, float(special.chdtrc(max(len(model.values) - 1 - 2 * len(chosen), 1), rss))


def _freedom(model: Model, base: Array) -> float:
    """The least that noise of size 1 leaves of its sum of squares, over the phis."""
    q, _ = np.linalg.qr(base / model.scale[:, None])
    return min(len(q) - float(np.sum(q * (model.correlation(phi) @ q))) for phi in model.phis)


def _believing(points: Points, level: float) -> tuple[float, Model, list[int]]:
    """`_explain` of a series by its own standard errors."""
    columns = (points.index, points.values, points.stderr)
    p, phis, chosen = _believed(level, *(column.tobytes() for column in columns))
    return p, Model(*columns, phis=phis), list(chosen)


@lru_cache(maxsize=4096)  # asked once to pool errors, once for the changes
def _believed(level: float, *columns: bytes) -> tuple[float, tuple[float, ...], tuple[int, ...]]:
    """p-value, phis and changes of `_believing`."""
    index, values, stderr = (np.frombuffer(column) for column in columns)
    p, model, chosen = _explain(Model(index, values, stderr), build_ramps(index), level)
    return p, model.phis, tuple(chosen)


def _explain(model: Model, ramps: Ramps, level: float) -> tuple[float, Model, list[int]]:
    """The changes, held against a wider range of phi where the residuals ask for one."""
    p, chosen = _likelier(model, ramps, level)
    if chosen and len(model.values) >= MANY and _wanders(model, ramps.design(chosen)):
        model = replace(model, phis=WIDE_PHIS)
        again, chosen = _likelier(model, ramps, level)
        p = max(p, again)
    return p, model, chosen


def _wanders(model: Model, base: Array) -> bool:
    """Whether residuals of neighbors go together more than the largest phi lets them.

    Residuals far below the noise, as of values that are rounded, say nothing of it.
    """
    draws = np.random.default_rng(0).standard_normal((len(base), _DRAWS))
    q, _ = np.linalg.qr(base / model.scale[:, None])
    noise = np.linalg.cholesky(model.correlation(model.phis[-1])) @ draws
    own = model.residuals(base)[:, None]
    if np.mean(own**2) < 0.1:
        return False
    mine, theirs = (
        np.sum(e[1:] * e[:-1], axis=0) / np.maximum(np.sum(e**2, axis=0), 1e-300)
        for e in (own, noise - q @ (q.T @ noise))
    )
    return bool(np.mean(theirs >= mine[0]) < WANDERS)


def _likelier(model: Model, ramps: Ramps, level: float) -> tuple[float, list[int]]:
    """Grow the changes twice, with steps alone and with all ramps, and keep the likelier."""
    p, found = _grow(model, ramps, level, np.ones_like(ramps.share, dtype=bool))
    if not found:
        return p, []
    _, steps = _grow(model, ramps, level, ramps.end - ramps.begin == 1)

    def score(chosen: list[int]) -> float:
        costs = np.log(ramps.prior[chosen]) - COST
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
        chosen = [*chosen, int(free[np.nanargmax(sizes.gain + np.log(ramps.prior[free]))])]
        if np.all(allowed):
            chosen = refine(model, ramps, chosen)
    return first, _prune(model, ramps, refine(model, ramps, chosen), level)


def likely(model: Model, ramps: Ramps, chosen: list[int], j: int) -> Array:
    """Log posterior up to a constant of each ramp instead of change j, the others held, `[k]`."""
    rest = [c for i, c in enumerate(chosen) if i != j]
    gain = model.gains(ramps.design(rest), ramps.columns) + np.log(ramps.prior)
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
