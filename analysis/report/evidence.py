"""Transitions and associations as rows for people, with the null they are held against."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.steps import short

_MOST = 40


def transition_view(data: StudyData) -> dict[str, Any]:
    """Transitions in the order of runs and steps.

    Returns:
        rows (at most 40), left (how many more), missing (why there are none).
    """
    table = data.table("transitions").dropna(subset=["run", "series", "step"])
    table = table.sort_values(["run", "series", "step"])
    rows = [
        {
            "run": str(row["run"]),
            "series": str(row["series"]),
            "kind": _text(row["kind"]),
            "step": short(float(row["step"])),
            "span": _span(row["step_low"], row["step_high"]),
            "change": "–" if pd.isna(row["change"]) else f"{row['change']:+.3g}",
            "detector": _text(row["detector"]),
        }
        for row in table.head(_MOST).to_dict("records")
    ]
    missing = "" if rows else "No transitions: none was found, or no detector was run."
    return {"rows": rows, "left": max(0, len(table) - _MOST), "missing": missing}


def association_view(data: StudyData) -> dict[str, Any]:
    """Associations, the smallest corrected p-value first.

    Returns:
        rows (at most 40), left, missing, and `null`: how these values were, or were not, tested.
    """
    table = data.table("associations").sort_values(
        ["q_value", "p_value", "run"], na_position="last"
    )
    rows = [
        {
            "run": _text(row["run"]) or "all runs",
            "llc_series": _text(row["llc_series"]),
            "probe": _text(row["probe"]),
            "metric": _text(row["metric"]),
            "statistic": _text(row["statistic"]),
            "value": _number(row["value"]),
            "lag": _number(row["lag"]),
            "p_value": _number(row["p_value"]),
            "q_value": _number(row["q_value"]),
            "n": _number(row["n"]),
        }
        for row in table.head(_MOST).to_dict("records")
    ]
    return {
        "rows": rows,
        "left": max(0, len(table) - _MOST),
        "missing": "" if rows else "No association between LLC and probes was computed.",
        "null": _null(table),
    }


def _null(table: pd.DataFrame) -> str:
    if not len(table):
        return ""
    untested = int(table["p_value"].isna().sum())
    line = (
        "LLC and probe scores both change along training, so their levels correlate without any "
        "link. p-values are against shifted series within a run, or against permuted seeds across "
        "runs; q-values are corrected for the number of pairs. "
    )
    if untested == len(table):
        return line + "Here the series are too short, or the seeds too few, for any p-value."
    return line + (f"{untested} of {len(table)} rows could not be tested." if untested else "")


def _span(low: Any, high: Any) -> str:
    return "–" if pd.isna(low) or pd.isna(high) else f"{short(float(low))} to {short(float(high))}"


def _number(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}"


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value)
