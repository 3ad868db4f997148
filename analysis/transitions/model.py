"""What a detector is, and what detectors share: prune, move and measure changes in AR(1) noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.transitions.evidence import LEVEL, threshold
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
FIT_MAX = 0.65  # correlation next to changes that are there: more than when they are in question
PLATEAU = 1.0  # checkpoints that a plateau must last longer than


@dataclass(frozen=True)
class Change:
    """One change, its locations in checkpoints (numbered from 0, fractions in a ramp).

    Attributes:
        location: first checkpoint past its middle; with the 95 % interval of that.
        begin: last checkpoint of the plateau before.
        end: first checkpoint of the plateau after.
        change: signed size in units of the series; with its 95 % interval.
    """

    location: float
    location_low: float
    location_high: float
    begin: float
    end: float
    change: float
    change_low: float
    change_high: float


@dataclass(frozen=True)
class Detector:
    """One way to look for transitions, as `DETECTORS` lists it.

    Attributes:
        name: in the column `detector`.
        test: from a series to the p-value of there being any change, and what says so most (members
            of a family of shapes).
        locate: from a series that has a change, and what the test gave, to its changes.
        level: p-value up to which a series has a change; one test a series, so this is also the
            share of series without change in which the detector finds one. Whoever looks several
            times or with several detectors divides it by the number of all these tests.
    """

    name: str
    test: Callable[[Points], tuple[float, list[int]]]
    locate: Callable[[Points, list[int]], list[Change]]
    level: float = LEVEL


def design(family: Family, chosen: list[int]) -> Array:
    """Constant and chosen changes as columns, `[m, 1 + changes]`."""
    return np.column_stack([np.ones(len(family.columns)), family.columns[:, chosen]])


def fit(points: Points, family: Family, chosen: list[int]) -> Fit:
    """The curve of these changes, at the most likely correlation next to changes."""
    return fit_design(points, design(family, chosen), FIT_MAX if chosen else NULL_MAX)


def prune(points: Points, family: Family, chosen: list[int], keep: int, reach: float) -> list[int]:
    """Drop changes, weakest first, and keep as many as their gains pay for.

    The gain of a change is what the likelihood loses without it, the others refined again and at
    any correlation up to NULL_MAX. Each change beyond the first `keep` costs the threshold for any
    change at all; the number of changes with the largest sum of gains less costs stays.
    """
    limit = threshold(family.name, len(points))

    def null_log(changes: list[int]) -> float:
        return float(null_loglik(points.values[None], points, design(family, changes))[0])

    chosen = sorted(chosen, key=lambda k: family.location[k])
    path, profits = [chosen], []
    while len(chosen) > keep:
        without = [[c for c in chosen if c != k] for k in chosen]
        nulls = [null_log(rest) for rest in without]
        weakest = int(np.argmax(nulls))
        rest = refine_locations(points, family, without[weakest], reach)
        base, column = design(family, without[weakest]), family.columns[:, [chosen[weakest]]]
        null = max(nulls[weakest], null_log(rest))
        profits.append(float(_logs(points, base, column)[0]) - null - limit)
        chosen = rest
        path.append(chosen)
    left = [sum(profits[j:]) for j in range(len(path))]  # of the last one 0
    return path[int(np.argmax(left))]


def refine_locations(points: Points, family: Family, chosen: list[int], reach: float) -> list[int]:
    """Move each change to its most likely location near by, the others held, until none moves."""
    chosen = sorted(chosen, key=lambda k: family.location[k])
    for _ in range(ROUNDS):
        before = list(chosen)
        for j, k in enumerate(chosen):
            logs = _location_logs(points, family, chosen, j)
            near = np.abs(family.location - family.location[k]) <= reach + 0.5 * family.width[k]
            chosen[j] = int(np.argmax(np.where(near, logs, -np.inf)))
        if chosen == before:
            break
    return chosen


def measure(points: Points, family: Family, chosen: list[int]) -> list[Change]:
    """Sizes and locations with intervals, in order of location.

    Changes of one sign with no plateau between them are one change, with its middle where half of
    it is done. A location's interval is the shortest set of candidates that holds 95 % of the
    posterior (prior flat over locations, `1 / width` over widths); a size's comes from the t
    distribution. Both grow with the points' standard errors, through weights and a noise level
    never below them.
    """
    chosen = sorted(chosen, key=lambda k: family.location[k])
    if not chosen:
        return []
    result = fit(points, family, chosen)
    # the noise that the points themselves show around the curve, whatever their errors say
    shown = fit(replace(points, stderr=0.0 * points.stderr), family, chosen).sigma
    ratio = (shown / result.sigma) ** 2
    factor = float(stats.t.ppf(0.5 + CONFIDENCE / 2, max(len(points) - len(chosen) - 1, 1)))
    sizes = result.coefficients[1:]
    out = []
    for group in _without_plateau(family, chosen, sizes):
        members = [chosen[j] for j in group]
        likely = [
            _likely_locations(family.location, _location_logs(points, family, chosen, j) * ratio)
            for j in group
        ]
        pick = np.isin(np.arange(len(result.coefficients)), np.array(group) + 1).astype(float)
        error = factor * float(np.sqrt(pick @ result.covariance @ pick))
        size = float(np.sum(sizes[group]))
        out.append(
            Change(
                location=_middle(points, family, members, sizes[group]),
                location_low=points.earliest(min(low for low, _ in likely)),
                location_high=max(high for _, high in likely),
                begin=min(family.begin(k) for k in members),
                end=max(family.end(k) for k in members),
                change=size,
                change_low=size - error,
                change_high=size + error,
            )
        )
    return out


def _without_plateau(family: Family, chosen: list[int], sizes: Array) -> list[list[int]]:
    """Positions in `chosen`, grouped where neighbors are parts of one change.

    They are when they have one sign and their ramps meet, and when a small one of the other sign
    lies on the ramp of a larger: it bends that ramp, and no plateau parts the two.
    """
    groups: list[list[int]] = []
    for j, k in enumerate(chosen):
        last = groups[-1] if groups else []
        if last and (
            (sizes[last[-1]] * sizes[j] > 0
             and family.begin(k) <= max(family.end(chosen[i]) for i in last) + PLATEAU)
            or any(_bends(family, chosen, sizes, i, j) for i in last)
        ):  # fmt: skip
            last.append(j)
        else:
            groups.append([j])
    return groups


def _bends(family: Family, chosen: list[int], sizes: Array, i: int, j: int) -> bool:
    """Whether the smaller of two changes has under a third of the larger and lies on its ramp."""
    small, large = sorted((i, j), key=lambda k: abs(sizes[k]))
    on_ramp = (
        family.begin(chosen[large]) <= family.location[chosen[small]] <= family.end(chosen[large])
    )
    return bool(on_ramp and 3 * abs(sizes[small]) < abs(sizes[large]))


def _middle(points: Points, family: Family, members: list[int], sizes: Array) -> float:
    """First checkpoint past the middle of a change; within a gap, the middle of the gap."""
    if len(members) == 1:
        location = float(family.location[members[0]])
        sharp = family.width[members[0]] == 1.0
        return float(np.ceil((points.earliest(location) + location) / 2)) if sharp else location
    done = family.columns[:, members] @ (sizes / sizes.sum())
    return float(points.index[int(np.argmax(done >= 0.5))])


def _location_logs(points: Points, family: Family, chosen: list[int], j: int) -> Array:
    """Log posterior of every candidate instead of change j, kept between its neighbors.

    The prior `1 / width` favors no scale of width; a flat one would take wide ramps for steps.
    """
    rest = [c for i, c in enumerate(chosen) if i != j]
    logs = _logs(points, design(family, rest), family.columns) - np.log(family.width)
    low = family.location[chosen[j - 1]] if j > 0 else -np.inf
    high = family.location[chosen[j + 1]] if j + 1 < len(chosen) else np.inf
    return np.where((family.location > low) & (family.location < high), logs, -np.inf)


def _logs(points: Points, base: Array, columns: Array) -> Array:
    return candidate_logliks(points.values[None], points, base, columns)[0]


def _likely_locations(location: Array, logs: Array) -> tuple[float, float]:
    weight = np.exp(logs - np.max(logs))
    order = np.argsort(-weight, kind="stable")
    held = np.cumsum(weight[order]) / weight.sum()
    inside = location[order[: int(np.searchsorted(held, CONFIDENCE)) + 1]]
    return float(inside.min()), float(inside.max())
