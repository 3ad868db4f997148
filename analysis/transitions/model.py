"""A mean curve of several changes: prune, move and measure them under AR(1) noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.transitions.evidence import offsets, threshold
from analysis.transitions.noise import CHANGE_MAX, NULL_MAX, Fit, fit_design, scores
from analysis.transitions.points import Points
from analysis.transitions.shapes import Family

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95
ROUNDS = 3


@dataclass(frozen=True)
class Change:
    """One change: `place` and its interval in checkpoints, size with its interval, extent."""

    place: float
    place_low: float
    place_high: float
    begin: float
    end: float
    change: float
    change_low: float
    change_high: float


def design(family: Family, chosen: list[int]) -> Array:
    """Constant and chosen changes as columns, `[m, 1 + changes]`."""
    return np.column_stack([np.ones(len(family.columns)), family.columns[:, chosen]])


def fit(points: Points, family: Family, chosen: list[int]) -> Fit:
    """The curve of these changes, at the most likely correlation beside changes."""
    return fit_design(points, design(family, chosen), CHANGE_MAX if chosen else NULL_MAX)


def prune(points: Points, family: Family, chosen: list[int], keep: int) -> list[int]:
    """Drop changes, weakest first, until each is needed at the level of the first test.

    Never goes below `keep` changes. A change is needed when the likelihood without it, at any
    correlation up to NULL_MAX, falls by more than the threshold for any change at all.
    """
    limit = threshold(family.name, len(points))
    chosen = sorted(chosen, key=lambda k: family.place[k])
    while len(chosen) > keep:
        gains = []
        for k in chosen:
            rest = design(family, [c for c in chosen if c != k])
            null, best = scores(points, rest, family.columns[:, [k]], CHANGE_MAX)
            gains.append(float(best[0] - null - offsets(family, len(points))[k]))
        weakest = int(np.argmin(gains))
        if gains[weakest] >= limit:
            break
        del chosen[weakest]
    return chosen


def settle(points: Points, family: Family, chosen: list[int], reach: float) -> list[int]:
    """Move each change to its most likely place near by, the others held, until none moves."""
    chosen = sorted(chosen, key=lambda k: family.place[k])
    for _ in range(ROUNDS):
        before = list(chosen)
        for j, k in enumerate(chosen):
            logs = _place_logs(points, family, chosen, j)
            near = np.abs(family.place - family.place[k]) <= reach + 0.5 * family.width[k]
            chosen[j] = int(np.argmax(np.where(near, logs, -np.inf)))
        if chosen == before:
            break
    return chosen


def measure(points: Points, family: Family, chosen: list[int]) -> list[Change]:
    """Sizes and places with intervals, in order of place.

    The place's interval is the shortest set of candidates that holds 95 % of the likelihood (flat
    prior over places and widths); the size's comes from the t law. Both grow with the points'
    standard errors, through the weights and through a noise level never below them.
    """
    chosen = sorted(chosen, key=lambda k: family.place[k])
    if not chosen:
        return []
    result = fit(points, family, chosen)
    own = fit_sigma(points, family, chosen)
    factor = stats.t.ppf(0.5 + CONFIDENCE / 2, max(len(points) - len(chosen) - 1, 1))
    out = []
    for j, k in enumerate(chosen):
        logs = _place_logs(points, family, chosen, j) * (own / result.sigma) ** 2
        low, high = _likely_places(family.place, logs)
        size, error = float(result.coefficients[j + 1]), float(result.errors[j + 1]) * factor
        out.append(
            Change(
                float(family.place[k]), low, high, family.begin(k), family.end(k),
                size, size - error, size + error,
            )
        )  # fmt: skip
    return out


def fit_sigma(points: Points, family: Family, chosen: list[int]) -> float:
    """Noise level that the points themselves show around the curve, whatever their errors say."""
    bare = Points(points.steps, points.index, points.values, points.scale, 0.0 * points.stderr)
    return fit(bare, family, chosen).sigma


def _place_logs(points: Points, family: Family, chosen: list[int], j: int) -> Array:
    """Log likelihood of every candidate in place of change j, kept between its neighbours."""
    rest = [c for i, c in enumerate(chosen) if i != j]
    _, logs = scores(points, design(family, rest), family.columns, CHANGE_MAX)
    low = family.place[chosen[j - 1]] if j > 0 else -np.inf
    high = family.place[chosen[j + 1]] if j + 1 < len(chosen) else np.inf
    return np.where((family.place > low) & (family.place < high), logs, -np.inf)


def _likely_places(place: Array, logs: Array) -> tuple[float, float]:
    weight = np.exp(logs - np.max(logs))
    order = np.argsort(-weight, kind="stable")
    held = np.cumsum(weight[order]) / weight.sum()
    inside = place[order[: int(np.searchsorted(held, CONFIDENCE)) + 1]]
    return float(inside.min()), float(inside.max())
