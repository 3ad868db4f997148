"""Transitions of one series, and of all the series of a report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.schema import conform, empty
from analysis.transitions.points import Points, clean_points
from analysis.transitions.ramps import Model, Ramps, build_ramps
from analysis.transitions.search import error_scale, likely, search

Array = npt.NDArray[np.float64]
LEVEL = 0.05
MIN_POINTS = 6
"""Fewest points of a series in which transitions are looked for."""
CONFIDENCE = 0.95
DETECTOR = "ramps"  # in the column `detector`
AT_EDGE = "at the edge, unconfirmed"
NOT_LOCATED = "somewhere in training, not located"
UNSURE = (AT_EDGE, NOT_LOCATED)  # in the column `status`
_Row = dict[str, Any]
EXTRA = ("change_low", "change_high", "status", "p_value")


def detect_transitions(
    steps: object,
    values: object,
    stderr: object = None,
    *,
    run: str = "",
    series: str = "",
    level: float = LEVEL,
) -> pd.DataFrame:
    """Transitions of a series along training: rises and falls from one plateau to the next.

    In at most a share `level` of series without change any row is returned, for noise of these
    standard errors and a correlation of 0 to 0.5 from checkpoint to checkpoint. Where the errors
    are missing, or too small for the scatter around the plateaus, the noise is estimated; it may
    then be unequal, and small changes in few points are not found. Errors of 0 say that the values
    are exact: then, as with small errors, a course counts that keeps to plateaus and straight lines
    within 7 % of its range. Missing values (NaN) are allowed
    for; fewer than 6 usable points give no rows.

    Args:
        steps: environment steps of the checkpoints, `[n]`, in any order, without repeats.
        values: the series, `[n]`, NaN where missing.
        stderr: its standard errors, `[n]`, in the same unit; None or all NaN where unknown.
        run: text for the column `run`.
        series: text for the column `series`.
        level: p-value up to which a change is one.

    Returns:
        Columns of `transitions`, by step. `kind` is `rise`, `fall`, or `trend` where neither side
        has a plateau of two points: not a transition. `step` is the first checkpoint past the
        middle of the change; `step_low` the last checkpoint of the plateau before and `step_high`
        the first of the plateau after, with 95 % confidence; `change` the signed size. Further
        columns: `change_low` and `change_high` (95 % interval), `status` (`at the edge,
        unconfirmed` where one side has no plateau of two points; `somewhere in training, not
        located` where step_low to step_high leaves none on either side) and `p_value` (of any
        change in the series).

    Raises:
        InputError: on unequal lengths, on repeated, negative or infinite steps, or on negative
            standard errors.
    """
    rows = _rows(clean_points(steps, values, stderr), level)[1]
    return _table([row | {"run": run, "series": series} for row in rows])


def transition_steps(steps: object, values: object, stderr: object = None) -> Array:
    """The column `step` of `detect_transitions`, `[k]`, without trends."""
    rows = _rows(clean_points(steps, values, stderr), LEVEL)[1]
    return np.array([row["step"] for row in rows if row["kind"] != "trend"], dtype=float)


def detect_in_all(
    series: Iterable[tuple[str, str, object, object, object]], rate: float = LEVEL
) -> pd.DataFrame:
    """Transitions of all series of a report, at one false discovery rate over these series.

    Known errors of series of one name are widened together where the residuals of several runs say
    that they are too small (`error_scale`).

    Args:
        series: run, name, steps, values and standard errors of each, as `detect_transitions`.
        rate: expected share of series without change among those that are reported
            (Benjamini & Hochberg 1995).

    Returns:
        As `detect_transitions`; further columns `q_value`, of the series among all, `tested`, how
        many these were, and `error_scale`, the factor by which the errors of that name are widened.
    """
    cleaned = [(run, name, clean_points(*of)) for run, name, *of in series]
    scales = _error_scales([(name, points) for _, name, points in cleaned], rate)
    found = []
    for run, name, points in cleaned:
        scale = scales.get(name, 1.0)
        p, rows = _rows(replace(points, stderr=scale * points.stderr), rate)
        found += [] if p is None else [(p, rows, run, name, scale)]
    q = stats.false_discovery_control([p for p, *_ in found]) if found else []
    told = [
        row | {"run": run, "series": name, "q_value": float(of), "tested": len(found),
               "error_scale": scale}
        for of, (_, rows, run, name, scale) in zip(q, found, strict=True) if of <= rate
        for row in rows
    ]  # fmt: skip
    if told:
        return _table(told)
    number = pd.Series(dtype=float)
    return _table([]).assign(q_value=number, tested=number.astype(int), error_scale=number)


def _error_scales(series: Iterable[tuple[str, Points]], level: float) -> dict[str, float]:
    """`error_scale` of each name, over its series with known errors."""
    of: dict[str, list[tuple[Points, Ramps]]] = {}
    for name, points in series:
        if _testable(points) and np.all(points.stderr > 0.0):
            of.setdefault(name, []).append((points, build_ramps(points.index)))
    return {name: error_scale(each, level) for name, each in of.items()}


def settling_step(steps: Array, values: Array, stderr: Array) -> float:
    """The first checkpoint from which a series stays within three errors of its last value.

    Args:
        steps: environment steps, ascending, `[n]`.
        values: the series, `[n]`.
        stderr: its standard errors, `[n]`.
    """
    away = np.abs(values - values[-1]) > 3.0 * np.hypot(stderr, stderr[-1])
    return float(steps[int(np.max(np.flatnonzero(away), initial=-1)) + 1])


def _table(rows: list[_Row]) -> pd.DataFrame:
    if rows:
        return conform("transitions", pd.DataFrame(rows)).astype({"status": "string"})
    kinds = {"status": "string"}
    return empty("transitions").assign(
        **{name: pd.Series(dtype=kinds.get(name, "float64")) for name in EXTRA}
    )


def _testable(points: Points) -> bool:
    return len(points) >= MIN_POINTS and bool(np.isfinite(points.resolution))


def _rows(points: Points, level: float) -> tuple[float | None, tuple[_Row, ...]]:
    """The p-value of any change, None where there is nothing to test, and the rows of no name."""
    if not _testable(points):
        return None, ()
    columns = (points.index, points.steps, points.values, points.stderr)
    return _found(level, points.exact, *(column.tobytes() for column in columns))


@lru_cache(maxsize=4096)  # an analysis asks several times for each series
def _found(level: float, exact: bool, *columns: bytes) -> tuple[float, tuple[_Row, ...]]:
    """`_rows` of points, by their columns."""
    index, steps, values, stderr = (np.frombuffer(column) for column in columns)
    points = Points(index, steps, values, stderr, exact)
    ramps = build_ramps(points.index)
    p, model, chosen = search(points, ramps, level)
    groups = _without_plateau(model, ramps, chosen) if chosen else []
    same = {"detector": DETECTOR, "p_value": p}
    return p, tuple(_row(points, model, ramps, chosen, group) | same for group in groups)


def _without_plateau(model: Model, ramps: Ramps, chosen: list[int]) -> list[list[int]]:
    """Positions in `chosen`, grouped where neighbors of one sign are parts of one change."""
    signs = [np.sign(_size(model, ramps, chosen, [j])[1]) for j in range(len(chosen))]
    groups: list[list[int]] = [[0]]
    for j in range(1, len(chosen)):
        gap = ramps.begin[chosen[j]] - ramps.end[chosen[j - 1]]
        if gap <= 1 and signs[j] == signs[j - 1]:
            groups[-1].append(j)
        else:
            groups.append([j])
    return groups


def _size(
    model: Model, ramps: Ramps, chosen: list[int], group: list[int]
) -> tuple[Array, float, float]:
    """The curve of a group of changes from 0 to 1, `[m]`; its size and half its 95 % interval."""
    one = ramps.design(chosen)
    weights = np.linalg.lstsq(one / model.scale[:, None], model.values / model.scale, rcond=None)[0]
    weights = weights[1:][group]
    curve = ramps.columns[:, [chosen[j] for j in group]] @ weights / np.sum(weights)
    rest = [c for j, c in enumerate(chosen) if j not in group]
    size = model.measure(ramps.design(rest), curve[:, None])
    factor = stats.t.ppf(0.5 + CONFIDENCE / 2, max(size.freedom[0], 1.0))
    return curve, float(size.size[0]), float(factor * size.stderr[0])


def _row(points: Points, model: Model, ramps: Ramps, chosen: list[int], group: list[int]) -> _Row:
    curve, change, error = _size(model, ramps, chosen, group)
    first, last = (_places(model, ramps, chosen, j) for j in (group[0], group[-1]))
    begin, end = ramps.begin[first].min(), ramps.end[last].max()
    sides = (ramps.begin[chosen[group[0]]] + 1, len(points) - ramps.end[chosen[group[-1]]])
    edges = sum(side < 2 for side in sides)
    anywhere = begin < 1 and end > len(points) - 2
    return {
        "step": points.steps[int(np.argmax(curve >= 0.5))],
        "step_low": points.steps[begin],
        "step_high": points.steps[end],
        "kind": "trend" if edges == 2 else "rise" if change > 0 else "fall",
        "change": change,
        "change_low": change - error,
        "change_high": change + error,
        "status": NOT_LOCATED if anywhere and edges < 2 else AT_EDGE if edges == 1 else "",
    }


def _places(model: Model, ramps: Ramps, chosen: list[int], j: int) -> npt.NDArray[np.int_]:
    """The fewest ramps that hold 95 % of the posterior of change j."""
    log = likely(model, ramps, chosen, j)
    order = np.argsort(-log, kind="stable")
    weight = np.exp(log[order] - log[order[0]])
    return order[: int(np.searchsorted(np.cumsum(weight) / weight.sum(), CONFIDENCE)) + 1]
