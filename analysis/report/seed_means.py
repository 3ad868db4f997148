"""Averages over training seeds, the unit of replication."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

Z95 = 1.959963984540054
Bounds = tuple[float, float]
Floats = NDArray[Any]
SHARE: Bounds = (0.0, 1.0)
ANY: Bounds = (-math.inf, math.inf)


def over_seeds(
    values: pd.Series, bounds: Bounds = ANY, ends: tuple[pd.Series, pd.Series] | None = None
) -> tuple[float, float, float, int]:
    """Mean of one value per seed, its 95 % interval as in `mean_curve`, and the number of seeds.

    With one seed the interval is not a number: one value says nothing about other seeds. It is
    truncated at the bounds that the quantity itself has.

    Args:
        values: one of each seed.
        bounds: of the quantity.
        ends: of each value's own 95 % interval.
    """
    y, low, high = (_floats(each) for each in (values, *(ends or (values, values))))
    curve = _means(np.zeros(len(y)), y, low, high, bounds)
    if not len(curve["n"]):
        return math.nan, math.nan, math.nan, 0
    mean, start, end = (float(curve[name][0]) for name in ("mean", "low", "high"))
    return mean, start, end, int(curve["n"][0])


def mean_curve(
    rows: pd.DataFrame, value: str, bounds: Bounds = ANY, fewest: int = 2, together: int = 1
) -> pd.DataFrame:
    """Mean over runs at each step that at least `fewest` runs share.

    The interval is Student's over runs, but never narrower than the runs' own intervals make the
    mean: seeds that agree by chance, or because a share is 0 in all, do not make it certain.

    Args:
        rows: columns `step` and the value, one row per run and step; of each value's own 95 %
            interval, where it is known, `ci_low` and `ci_high`.
        value: name of the value's column.
        bounds: least and largest possible value, where intervals are truncated.
        fewest: runs that a step needs.
        together: how many intervals are to hold at once (Bonferroni); so do the runs' own.

    Returns:
        Columns step, mean, low, high (95 % interval), n, in the order of steps.
    """
    y = _floats(rows[value])
    low, high = (_floats(rows[end]) if end in rows else y for end in ("ci_low", "ci_high"))
    curve = _means(_floats(rows["step"]), y, low, high, bounds, together)
    return pd.DataFrame({name: each[curve["n"] >= fewest] for name, each in curve.items()})


def _floats(values: pd.Series) -> Floats:
    return values.astype(float).to_numpy()


def _means(
    step: Floats, value: Floats, low: Floats, high: Floats, bounds: Bounds, together: int = 1
) -> dict[str, Floats]:
    """The columns of `mean_curve`, of every step that has a value."""
    known = ~(np.isnan(value) | np.isnan(step))
    step, value, low, high = (each[known] for each in (step, value, low, high))
    step, place, n = np.unique(step, return_inverse=True, return_counts=True)

    def total(each: Floats) -> Floats:
        return np.bincount(place, each, len(step))

    mean = total(value) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(total((value - mean[place]) ** 2) / (n - 1) / n)
    # Not `student.interval`, which has no interval of width zero for seeds that all agree.
    half = student.ppf(1 - 0.025 / together, n - 1) * spread
    own = (np.where(np.isnan(end), 0.0, end - value) for end in (low, high))
    below, above = (np.maximum(half, np.sqrt(total(each**2)) / n) for each in own)
    low, high = np.clip((mean - below, mean + above), *bounds)
    return {"step": step, "mean": mean, "low": low, "high": high, "n": n}
