"""The summary of a report: numbers at the last checkpoint and the sentences they allow."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.goal import baseline_of, last_rows
from analysis.report.figures.model import numbers
from analysis.report.queries import (
    bad_rows,
    baseline_rows,
    llc_rows,
    main_probe_rows,
    probes_in_order,
    states_in_order,
)
from analysis.report.seed_means import SHARE, normal_interval, over_seeds
from analysis.report.sentences import limits, statements


def build_summary(data: StudyData) -> dict[str, Any]:
    """Numbers per arm, comparisons, and plain sentences, all in JSON's own types.

    Returns:
        name, preset, question, arms (a list, each with probes, llc and baseline at the last
        checkpoint), comparisons, headline (the first three
        statements), statements, limits (what the data cannot show), warnings,
        missing and timings.
    """
    probes, llc, base = last_rows(main_probe_rows(data)), llc_rows(data), baseline_rows(data)
    arms = [_arm(data, arm, probes, llc, base) for arm in data.arms]
    warnings = warning_list(data)
    comparisons = _comparisons(arms)
    lines = statements(arms, comparisons, data, len(warnings))
    return {
        "name": data.name,
        "preset": data.preset,
        "question": data.question,
        "arms": arms,
        "comparisons": comparisons,
        "headline": lines[:3],
        "statements": lines,
        "limits": limits(arms, data),
        "warnings": warnings,
        "missing": data.missing,
        "timings": data.timings,
    }


def warning_list(data: StudyData) -> list[dict[str, Any]]:
    """The LLC estimates that are not `ok`, each with its status and message."""
    return [
        {
            "run": str(row["run"]),
            "step": int(row["step"]),
            "states": str(row["states"]),
            "loss": str(row["loss"]),
            "status": "unknown" if row["status"] is pd.NA else str(row["status"]),
            "message": "" if row["message"] is pd.NA else str(row["message"]),
        }
        for row in bad_rows(data).to_dict("records")
    ]


def _arm(
    data: StudyData, arm: str, probes: pd.DataFrame, llc: pd.DataFrame, base: pd.DataFrame
) -> dict[str, Any]:
    runs = data.runs_of(arm)
    mine = probes[probes["arm"] == arm] if len(probes) else probes
    own = llc[llc["arm"] == arm] if len(llc) else llc
    steps = [int(s) for s in [*mine.get("step", []), *own.get("step", [])]]
    names = probes_in_order(mine) if len(mine) else []
    blind = base[base["arm"] == arm]
    return {
        "name": arm,
        "coin": str(data.arms[arm].get("coin", "")),
        "runs": [run.name for run in runs],
        "seeds": [run.seed for run in runs],
        "last_step": max(steps) if steps else None,
        "probes": {p: _probe(mine[mine["probe"] == p]) for p in names},
        "baseline": {
            p: float(rows["value"].iloc[0])
            for p in names
            if len(rows := baseline_of(blind, p, str(mine[mine["probe"] == p]["metric"].iloc[0])))
        },
        "llc": {s: _llc(own[own["states"] == s]) for s in states_in_order(own)} if len(own) else {},
    }


def _probe(rows: pd.DataFrame) -> dict[str, Any]:
    mean, low, high, seeds = over_seeds(rows["value"], SHARE)
    if seeds == 1:
        low, high = float(rows["ci_low"].iloc[0]), float(rows["ci_high"].iloc[0])
    value, low_, high_ = numbers([mean, low, high])
    n = rows["n"].dropna()
    return {
        "metric": str(rows["metric"].iloc[0]), "value": value, "low": low_, "high": high_,
        "n": int(n.sum()) if len(n) else None, "seeds": seeds,
    }  # fmt: skip


def _llc(rows: pd.DataFrame) -> dict[str, Any]:
    """LLC at the last checkpoint: with one seed the sampler's interval, else that over seeds."""
    last = last_rows(rows)
    mean, low, high, seeds = over_seeds(last["llc"])
    if seeds == 1:
        low, high = normal_interval(mean, float(last["llc_stderr"].iloc[0]))
    value, low_, high_ = numbers([mean, low, high])
    return {
        "value": value, "low": low_, "high": high_, "seeds": seeds,
        "status": sorted({str(s) for s in last["status"].dropna()}) or ["unknown"],
        "loss": str(last["loss"].iloc[0]), "step": int(last["step"].max()),
    }  # fmt: skip


def _comparisons(arms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first arm against each other one, in every quantity that both have."""
    out = []
    for other in arms[1:]:
        for kind in ("probes", "llc"):
            for name, a in arms[0][kind].items():
                b = other[kind].get(name)
                if b is not None and a["value"] is not None and b["value"] is not None:
                    out.append(_compare(kind, name, arms[0]["name"], a, other["name"], b))
    return out


def _compare(
    kind: str, name: str, a_name: str, a: dict[str, Any], b_name: str, b: dict[str, Any]
) -> dict[str, Any]:
    known = None not in (a["low"], a["high"], b["low"], b["high"])
    apart = bool(a["high"] < b["low"] or b["high"] < a["low"]) if known else None
    return {
        "kind": kind, "name": name, "a": a_name, "b": b_name, "a_value": a["value"],
        "b_value": b["value"], "difference": b["value"] - a["value"], "apart": apart,
    }  # fmt: skip
