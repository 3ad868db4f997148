"""Averages over training seeds, the unit of replication."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import t as student

Z95 = 1.959963984540054
Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
ANY: Bounds = (-math.inf, math.inf)


def over_seeds(values: pd.Series, bounds: Bounds = ANY) -> tuple[float, float, float, int]:
    """Mean of one value per seed, its 95 % Student interval, and the number of seeds.

    With one seed the interval is not a number: one value says nothing about other seeds. It is
    truncated at the bounds that the quantity itself has.
    """
    curve = mean_curve(pd.DataFrame({"step": 0, "value": values}), "value", bounds, fewest=1)
    if curve.empty:
        return math.nan, math.nan, math.nan, 0
    mean, low, high, n = curve[["mean", "low", "high", "n"]].iloc[0]
    return float(mean), float(low), float(high), int(n)


def mean_curve(
    rows: pd.DataFrame, value: str, bounds: Bounds = ANY, fewest: int = 2
) -> pd.DataFrame:
    """Mean over runs at each step that at least `fewest` runs share.

    Args:
        rows: columns `step` and the value, one row per run and step.
        value: name of the value's column.
        bounds: least and largest possible value, where intervals are truncated.
        fewest: runs that a step needs.

    Returns:
        Columns step, mean, low, high (95 % Student interval), n, in the order of steps.
    """
    known = rows[["step", value]].astype(float).dropna().groupby("step")[value]
    curve = known.agg(["mean", "std", "count"]).reset_index()
    curve = curve[curve["count"] >= fewest]
    mean, n = curve["mean"], curve["count"]
    # Not `student.interval`, which has no interval of width zero for seeds that all agree.
    half = student.ppf(0.975, n - 1) * curve["std"] / np.sqrt(n)
    low, high = (mean - half).clip(lower=bounds[0]), (mean + half).clip(upper=bounds[1])
    return pd.DataFrame({"step": curve["step"], "mean": mean, "low": low, "high": high, "n": n})
