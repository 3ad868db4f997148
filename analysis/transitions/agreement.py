"""Do the two detectors tell the same story?"""

from __future__ import annotations

from typing import Any

import pandas as pd

PAIR = ("derivative", "change_point")


def agreement(transitions: pd.DataFrame) -> pd.DataFrame:
    """How far the detectors agree, one row per run and series that has a transition.

    Two transitions agree when they have one kind and their intervals (of place, or from plateau to
    plateau) meet; each change point is matched once.

    Returns:
        Columns run, series, derivative (transitions found), change_point, both (of them, found by
        both), agreement: `both / (derivative + change_point - both)`, 1 when they tell the same.
    """
    rows = []
    for (run, series), group in transitions.groupby(["run", "series"], sort=True):
        one, two = (group[group["detector"] == name] for name in PAIR)
        both = _matches(one, two)
        union = len(one) + len(two) - both
        rows.append((run, series, len(one), len(two), both, both / union if union else 1.0))
    return pd.DataFrame(rows, columns=["run", "series", *PAIR, "both", "agreement"])


def _matches(one: pd.DataFrame, two: pd.DataFrame) -> int:
    free = two.sort_values("step").to_dict("records")
    count = 0
    for first in one.sort_values("step").to_dict("records"):
        hit = next((s for s in free if s["kind"] == first["kind"] and _meet(first, s)), None)
        if hit is not None:
            free.remove(hit)
            count += 1
    return count


def _meet(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    low_a, high_a = _extent(a)
    low_b, high_b = _extent(b)
    return low_a <= high_b and low_b <= high_a


def _extent(row: dict[Any, Any]) -> tuple[float, float]:
    low = min(row["step_low"], row.get("begin", row["step_low"]))
    return low, max(row["step_high"], row.get("end", row["step_high"]))
