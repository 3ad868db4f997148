"""A mean curve of several changes: prune, move and measure them under AR(1) noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.transitions.evidence import threshold
from analysis.transitions.noise import (
    NULL_MAX,
    Fit,
    candidate_logliks,
    fit_design,
    null_loglik,
)
from analysis.transitions.points import Points
from analysis.transitions.shapes import Family

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95
ROUNDS = 3
FIT_MAX = 0.65  # correlation beside changes that are there: more than when they are in question
PLATEAU = 1.0  # checkpoints that a plateau must last longer than


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
    return fit_design(points, design(family, chosen), FIT_MAX if chosen else NULL_MAX)


def prune(points: Points, family: Family, chosen: list[int], keep: int, reach: float) -> list[int]:
    """Drop changes, weakest first, and keep as many as their gains pay for.

    The gain of a change is what the likelihood loses without it, the others settled anew and at any
    correlation up to NULL_MAX. Each change beyond the first `keep` costs the threshold for any
    change at all; the number of changes with the largest sum of gains less costs stays.
    """
    limit = threshold(family.name, len(points))
    chosen = sorted(chosen, key=lambda k: family.place[k])
    path, profits = [chosen], []
    while len(chosen) > keep:
        without = [[c for c in chosen if c != k] for k in chosen]
        nulls = [_null_log(points, family, rest) for rest in without]
        weakest = int(np.argmax(nulls))
        rest = settle(points, family, without[weakest], reach)
        base, column = design(family, without[weakest]), family.columns[:, [chosen[weakest]]]
        null = max(nulls[weakest], _null_log(points, family, rest))
        profits.append(float(_logs(points, base, column)[0]) - null - limit)
        chosen = rest
        path.append(chosen)
    left = [sum(profits[j:]) for j in range(len(path))]  # of the last one 0
    return path[int(np.argmax(left))]


def _null_log(points: Points, family: Family, chosen: list[int]) -> float:
    base = design(family, chosen)
    return float(null_loglik(points.values[None], points.axis, base)[0])


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

    Changes of one sign with no plateau between them are one change, with its middle where half of
    it is done. A place's interval is the shortest set of candidates that holds 95 % of the
    posterior (prior flat over places, `1 / width` over widths); a size's comes from the t law. Both
    grow with the points' standard errors, through weights and a noise level never below them.
    """
    chosen = sorted(chosen, key=lambda k: family.place[k])
    if not chosen:
        return []
    result = fit(points, family, chosen)
    ratio = (fit_sigma(points, family, chosen) / result.sigma) ** 2
    factor = float(stats.t.ppf(0.5 + CONFIDENCE / 2, max(len(points) - len(chosen) - 1, 1)))
    sizes = result.coefficients[1:]
    out = []
    for group in _without_plateau(family, chosen, sizes):
        members = [chosen[j] for j in group]
        likely = [
            _likely_places(family.place, _place_logs(points, family, chosen, j) * ratio)
            for j in group
        ]
        pick = np.isin(np.arange(len(result.coefficients)), np.array(group) + 1).astype(float)
        error = factor * float(np.sqrt(pick @ result.covariance @ pick))
        size = float(np.sum(sizes[group]))
        out.append(
            Change(
                place=_middle(points, family, members, sizes[group]),
                place_low=points.earliest(min(low for low, _ in likely)),
                place_high=max(high for _, high in likely),
                begin=min(family.begin(k) for k in members),
                end=max(family.end(k) for k in members),
                change=size,
                change_low=size - error,
                change_high=size + error,
            )
        )
    return out


def _without_plateau(family: Family, chosen: list[int], sizes: Array) -> list[list[int]]:
    """Positions in `chosen`, grouped where neighbours are parts of one change.

    They are when they have one sign and their ramps meet, and when a small one of the other sign
    lies on the ramp of a larger: it bends that ramp, and no plateau parts the two.
    """
    groups: list[list[int]] = []
    for j, k in enumerate(chosen):
        last = groups[-1] if groups else []
        same = bool(last) and sizes[last[-1]] * sizes[j] > 0
        meet = bool(last) and family.begin(k) <= max(family.end(chosen[i]) for i in last) + PLATEAU
        if (same and meet) or any(_bends(family, chosen, sizes, i, j) for i in last):
            groups[-1].append(j)
        else:
            groups.append([j])
    return groups


def _bends(family: Family, chosen: list[int], sizes: Array, i: int, j: int) -> bool:
    """Whether the smaller of two changes has under a third of the larger and lies on its ramp."""
    small, large = (i, j) if abs(sizes[i]) < abs(sizes[j]) else (j, i)
    place, ramp = family.place[chosen[small]], chosen[large]
    inside = family.begin(ramp) <= place <= family.end(ramp)
    return bool(inside and 3 * abs(sizes[small]) < abs(sizes[large]))


def _middle(points: Points, family: Family, members: list[int], sizes: Array) -> float:
    """First checkpoint past the middle of a change; within a gap, the middle of the gap."""
    if len(members) == 1:
        place = float(family.place[members[0]])
        sharp = family.width[members[0]] == 1.0
        return float(np.ceil((points.earliest(place) + place) / 2)) if sharp else place
    done = family.columns[:, members] @ (sizes / sizes.sum())
    return float(points.index[int(np.argmax(done >= 0.5))])


def fit_sigma(points: Points, family: Family, chosen: list[int]) -> float:
    """Noise level that the points themselves show around the curve, whatever their errors say."""
    bare = Points(points.steps, points.index, points.values, points.scale, 0.0 * points.stderr,
                  points.grid)  # fmt: skip
    return fit(bare, family, chosen).sigma


def _place_logs(points: Points, family: Family, chosen: list[int], j: int) -> Array:
    """Log posterior of every candidate in place of change j, kept between its neighbours.

    The prior `1 / width` favours no scale of width; a flat one would take wide ramps for steps.
    """
    rest = [c for i, c in enumerate(chosen) if i != j]
    logs = _logs(points, design(family, rest), family.columns) - np.log(family.width)
    low = family.place[chosen[j - 1]] if j > 0 else -np.inf
    high = family.place[chosen[j + 1]] if j + 1 < len(chosen) else np.inf
    return np.where((family.place > low) & (family.place < high), logs, -np.inf)


def _logs(points: Points, base: Array, columns: Array) -> Array:
    return candidate_logliks(points.values[None], points.axis, base, columns)[0]


def _likely_places(place: Array, logs: Array) -> tuple[float, float]:
    weight = np.exp(logs - np.max(logs))
    order = np.argsort(-weight, kind="stable")
    held = np.cumsum(weight[order]) / weight.sum()
    inside = place[order[: int(np.searchsorted(held, CONFIDENCE)) + 1]]
    return float(inside.min()), float(inside.max())
