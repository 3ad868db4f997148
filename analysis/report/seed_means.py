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

    With one seed the interval is not a number: one value says nothing about other seeds. The
    interval is cut off at the bounds that the quantity itself has.
    """
    rows = pd.DataFrame({"step": 0, "value": values})
    curve = mean_curve(rows, "value", bounds, fewest=1)
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
        bounds: least and largest possible value, where intervals are cut off.
        fewest: runs that a step needs.

    Returns:
        Columns step, mean, low, high (95 % Student interval), n, in the order of steps.
    """
    known = rows[["step", value]].astype(float).dropna().groupby("step")[value]
    curve = known.agg(["mean", "std", "count"]).reset_index()
    curve = curve[curve["count"] >= fewest]
    n = curve["count"]
    half = student.ppf(0.975, (n - 1).clip(lower=1)) * curve["std"] / np.sqrt(n)
    low, high = (curve["mean"] - half).clip(lower=bounds[0]), curve["mean"] + half
    return pd.DataFrame(
        {
            "step": curve["step"].astype(int), "mean": curve["mean"], "low": low,
            "high": high.clip(upper=bounds[1]), "n": n,
        }
    )  # fmt: skip


def normal_interval(value: float, stderr: float) -> tuple[float, float]:
    """The 95 % normal interval around a value."""
    return value - Z95 * stderr, value + Z95 * stderr
