"""Transitions of one series, by every detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.schema import conform, empty
from analysis.transitions.detectors import DETECTORS
from analysis.transitions.evidence import MIN_POINTS
from analysis.transitions.model import Change
from analysis.transitions.points import Points, clean_points
from rl_slt import InputError

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
        raise InputError.of("detectors", unknown[0], f"of {', '.join(DETECTORS)}")
    points = clean_points(steps, values, stderr)
    rows: list[dict[str, object]] = []
    if len(points) >= MIN_POINTS and np.ptp(points.values) > 0.0:
        for detector in map(DETECTORS.__getitem__, detectors):
            p_value, shape = detector.test(points)
            if p_value <= detector.level:  # this decides whether the series has a transition
                rows += [
                    _row(points, change) | {"detector": detector.name, "p_value": p_value}
                    for change in detector.locate(points, shape)
                ]
    if not rows:
        return empty("transitions").assign(**{name: pd.Series(dtype=float) for name in EXTRA})
    return conform("transitions", pd.DataFrame(rows).assign(run=run, series=series))


def _row(points: Points, change: Change) -> dict[str, object]:
    def step(k: float) -> float:
        return float(np.expm1(np.interp(k, points.index, np.log1p(points.steps))))

    return {
        "step": float(points.grid[round(change.location)]),
        "step_low": float(points.grid[round(change.location_low)]),
        "step_high": float(points.grid[round(change.location_high)]),
        "kind": "rise" if change.change > 0 else "fall",
        "change": change.change,
        "change_low": change.change_low,
        "change_high": change.change_high,
        "begin": step(change.begin),
        "end": step(change.end),
    }
