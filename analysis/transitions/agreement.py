"""Do the two detectors tell the same story?"""

from __future__ import annotations

from typing import Any

import pandas as pd

PAIR = ("derivative", "change_point")


def agreement(transitions: pd.DataFrame) -> pd.DataFrame:
    """How far the detectors agree, one row per run and series that has a transition.

    A transition is confirmed when the other detector has one of the same kind whose extent (of its
    place's interval, and from plateau to plateau) meets its own. Several level shifts may so
    confirm, and be confirmed by, one slow rise.

    Returns:
        Columns run, series, derivative (transitions found), change_point, confirmed (of both), and
        agreement: `confirmed / (derivative + change_point)`, 1 when they tell the same.
    """
    rows = []
    for (run, series), group in transitions.groupby(["run", "series"], sort=True):
        one, two = (group[group["detector"] == n].to_dict("records") for n in PAIR)
        confirmed = sum(_confirmed(t, two) for t in one) + sum(_confirmed(t, one) for t in two)
        rows.append((run, series, len(one), len(two), confirmed, confirmed / len(group)))
    return pd.DataFrame(rows, columns=["run", "series", *PAIR, "confirmed", "agreement"])


def _confirmed(row: dict[Any, Any], others: list[dict[Any, Any]]) -> bool:
    low, high = _extent(row)
    for other in others:
        first, last = _extent(other)
        if other["kind"] == row["kind"] and low <= last and first <= high:
            return True
    return False


def _extent(row: dict[Any, Any]) -> tuple[float, float]:
    low = min(row["step_low"], row.get("begin", row["step_low"]))
    return low, max(row["step_high"], row.get("end", row["step_high"]))
