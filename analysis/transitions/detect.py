"""Transitions of one series, by every detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.schema import conform, empty
from analysis.transitions import changepoints, derivative
from analysis.transitions.evidence import MIN_POINTS
from analysis.transitions.model import Change
from analysis.transitions.points import Points, clean_points
from rl_slt import InputError

DETECTORS: dict[str, Callable[[Points], tuple[list[Change], float]]] = {
    derivative.NAME: derivative.find_slopes,
    changepoints.NAME: changepoints.find_change_points,
}
EXTRA = ("change_low", "change_high", "begin", "end", "p_value")


def detect_transitions(
    steps: object,
    values: object,
    stderr: object = None,
    *,
    run: str = "",
    series: str = "",
    detectors: Sequence[str] = tuple(DETECTORS),
) -> pd.DataFrame:
    """Transitions of a series along training, one row per detector and transition.

    Each detector first asks whether the series changes at all: in at most 5 % of series without
    change it says yes, for noise of correlation 0 to 0.9 from checkpoint to checkpoint. Missing
    values (NaN) and points with a large standard error are allowed for. A slow drift that is not
    distinguishable from such noise is not reported; fewer than 8 usable points give no rows.

    Args:
        steps: environment steps of the checkpoints, `[n]`, in any order, without repeats.
        values: the series, `[n]`, NaN where missing.
        stderr: its standard errors, `[n]`, in the same unit, or None.
        run: text for the column `run`.
        series: text for the column `series`.
        detectors: names from `DETECTORS`.

    Returns:
        Columns of `transitions`: `step` is the first checkpoint past the middle of the change;
        `step_low` to `step_high` the 95 % interval of that; `change` the signed size. Further
        columns: `change_low` and `change_high` (95 % interval), `begin` and `end` (the steps
        where one plateau ends and the next begins), `p_value` (of any change in the series).

    Raises:
        InputError: on unequal lengths, repeated, negative or infinite steps, negative standard
            errors, or an unknown detector.
    """
    unknown = [d for d in detectors if d not in DETECTORS]
    if unknown:
        raise InputError(f"unknown detector {unknown[0]!r}; allowed: {', '.join(DETECTORS)}")
    points = clean_points(steps, values, stderr)
    if len(points) < MIN_POINTS or np.ptp(points.values) == 0.0:
        return _no_rows()
    rows = []
    for name in detectors:
        changes, p_value = DETECTORS[name](points)
        rows += [_row(points, c, p_value) | {"detector": name} for c in changes]
    if not rows:
        return _no_rows()
    frame = pd.DataFrame(rows).assign(run=run, series=series)
    return conform("transitions", frame)


def _row(points: Points, change: Change, p_value: float) -> dict[str, object]:
    def at(k: float) -> float:
        return float(np.expm1(np.interp(k, points.index, np.log1p(points.steps))))

    def checkpoint(k: float) -> float:
        return float(points.grid[round(k)])

    return {
        "step": checkpoint(change.place),
        "step_low": checkpoint(change.place_low),
        "step_high": checkpoint(change.place_high),
        "kind": "rise" if change.change > 0 else "fall",
        "change": change.change,
        "change_low": change.change_low,
        "change_high": change.change_high,
        "begin": at(change.begin),
        "end": at(change.end),
        "p_value": p_value,
    }


def _no_rows() -> pd.DataFrame:
    return empty("transitions").assign(**{name: pd.Series(dtype=float) for name in EXTRA})
