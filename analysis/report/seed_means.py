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
    own = {} if ends is None else {"ci_low": ends[0], "ci_high": ends[1]}
    rows = pd.DataFrame({"step": 0, "value": values} | own)
    curve = mean_curve(rows, "value", bounds, fewest=1)
    if curve.empty:
        return math.nan, math.nan, math.nan, 0
    mean, low, high, n = curve[["mean", "low", "high", "n"]].iloc[0]
    return float(mean), float(low), float(high), int(n)


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
    known = rows[["step", value]].astype(float)
    for name, end in (("below", "ci_low"), ("above", "ci_high")):
        own = rows[end].astype(float) if end in rows else known[value]
        known[name] = (own - known[value]).fillna(0.0) ** 2
    groups = known.dropna(subset=[value]).groupby("step")
    curve = groups[value].agg(["mean", "std", "count"]).join(groups[["below", "above"]].sum())
    curve = curve[curve["count"] >= fewest].reset_index()
    mean, n = curve["mean"], curve["count"]
    # Not `student.interval`, which has no interval of width zero for seeds that all agree.
    half = student.ppf(1 - 0.025 / together, n - 1) * curve["std"] / np.sqrt(n)
    below, above = (np.maximum(half, np.sqrt(curve[name]) / n) for name in ("below", "above"))
    low, high = (mean - below).clip(lower=bounds[0]), (mean + above).clip(upper=bounds[1])
    return pd.DataFrame({"step": curve["step"], "mean": mean, "low": low, "high": high, "n": n})
