"""Averages over training seeds, the unit of replication."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import t as student

Z95 = 1.959963984540054


def over_seeds(values: pd.Series) -> tuple[float, float, float, int]:
    """Mean of one value per seed, its 95 % Student interval, and the number of seeds.

    With one seed the interval is not a number: one value says nothing about other seeds.
    """
    values = values.dropna().astype(float)
    n = len(values)
    if n == 0:
        return math.nan, math.nan, math.nan, 0
    mean = float(values.mean())
    if n == 1:
        return mean, math.nan, math.nan, 1
    half = float(student.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half, n


def mean_curve(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean over runs at each step that at least two runs share.

    Args:
        rows: columns `run`, `step` and the value, one row per run and step.
        value: name of the value's column.

    Returns:
        Columns step, mean, low, high, n, in the order of steps.
    """
    records = []
    for step, part in rows.astype({"step": int}).groupby("step"):
        mean, low, high, n = over_seeds(part[value])
        if n >= 2:
            records.append((step, mean, low, high, n))
    return pd.DataFrame(records, columns=["step", "mean", "low", "high", "n"])


def normal_interval(value: float, stderr: float) -> tuple[float, float]:
    """The 95 % normal interval around a value."""
    return value - Z95 * stderr, value + Z95 * stderr
