"""Statistics over training seeds, as rows and sentences for people."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.labels import (
    capital,
    count,
    number,
    pair_title,
    short,
    states_short,
    text,
)

_MOST = 24
_MODELS = ("mean", "llc", "baseline", "baseline + llc")


def prediction_view(data: StudyData) -> dict[str, Any]:
    """Does the LLC foretell the goal? One row per LLC series and outcome.

    Returns:
        rows, left (how many more there are), notes (what is missing), line (the answer in words)
        and missing (why there is none).
    """
    table = data.table("predictions")
    if table.empty:
        return _nothing("No prediction of the goal was computed: it needs LLC estimates, probes "
                        "and several runs.")  # fmt: skip
    best = table[table["model"] == "baseline + llc"]
    rows = []
    for row in best.to_dict("records"):
        same = table[(table["llc_series"] == row["llc_series"]) & (table["probe"] == row["probe"])
                     & (table["metric"] == row["metric"])]  # fmt: skip
        error = {str(r["model"]): r["rmse"] for r in same.to_dict("records")}
        rows.append(
            {
                "outcome": pair_title(str(row["probe"]), str(row["metric"])),
                "LLC": series_title(str(row["llc_series"])),
                **{f"error of {name}": number(error.get(name)) for name in _MODELS},
                "gain": _percent(row["gain"]),
                "95 % interval": _span(row["gain_low"], row["gain_high"], _percent),
                "p": number(row["p_value"]),
                "q": number(row["q_value"]),
                "seeds": number(row["seeds"]),
            }
        )
    if table["rmse"].notna().sum() == 0:
        return _nothing(capital(_notes(table)[0]) + "." if _notes(table) else "Too few runs.")
    line = _prediction_line(best)
    return {"rows": rows[:_MOST], "left": max(0, len(rows) - _MOST), "line": line,
            "notes": _notes(table), "missing": ""}  # fmt: skip


def _prediction_line(best: pd.DataFrame) -> str:
    tested = best.dropna(subset=["p_value"])
    if tested.empty:
        return (
            "Whether the LLC foretells the goal better than cheaper signs do is not tested with "
            "fewer than 5 seeds; the numbers below only describe these runs."
        )
    found = int((tested["q_value"].fillna(tested["p_value"]) <= 0.05).sum())
    return (
        f"Of {len(tested)} outcomes and LLC series, the LLC improves the prediction of the next "
        f"checkpoint beyond the cheaper signs in {found} (5 %, corrected for their number)."
    )


def path_view(data: StudyData) -> dict[str, Any]:
    """Does an early value tell the final goal? The answer in words, and why it is missing."""
    table = data.table("path_dependence")
    if table.empty:
        return _nothing("Whether the goal is told early was not computed: it needs probes at "
                        "several checkpoints.")  # fmt: skip
    known = table.dropna(subset=["p_value"])
    goal = pair_title(str(table["probe"].iloc[0]), str(table["metric"].iloc[0]))
    split = f"Runs are parted by their final {goal}, at {number(table['cut'].iloc[0])}."
    if known.empty:
        why = _notes(table)
        return _nothing(f"{split} {capital(why[0]) if why else 'No test'}: so an early sign of the "
                        "goal cannot be told from chance here.")  # fmt: skip
    found = known[known["q_value"] <= 0.05]
    runs = int(known["n"].max())
    line = f"{split} {count(runs, 'run')}, each told from the others by one early value. "
    if found.empty:
        line += "No early value tells the final goal better than chance (5 %, corrected)."
    else:
        first = found.sort_values("step").iloc[0]
        line += (
            f"The earliest that does is {feature_title(str(first['feature']))} at step "
            f"{short(float(first['step']))}: right in {first['accuracy']:.0%} of runs, chance "
            f"{first['chance']:.0%}."
        )
    return {"rows": [], "left": 0, "line": line, "notes": _notes(table), "missing": ""}


def energy_view(data: StudyData) -> dict[str, Any]:
    """Which arm's solution the free energy prefers, and the number of samples where that turns."""
    table = data.table("free_energy")
    if table.empty:
        has = not data.table("staircase").empty
        return _nothing(
            "The estimates to a fixed reference are of one arm, or each to a reference of its own: "
            "two arms need one and the same." if has else
            "There are no estimates to one fixed reference policy, so solutions of different arms "
            "have no common loss; `rl-slt llc --reference RUN@STEP` makes them."
        )  # fmt: skip
    rows = [
        {
            "arms": f"{row['a']} and {row['b']}",
            "LLC": series_title(str(row["series"])),
            "loss, second less first": number(row["delta_loss"]),
            "LLC, second less first": number(row["delta_llc"]),
            "preferred with few samples": text(row["few"]),
            "with many": text(row["many"]),
            "critical n": _n(row["critical_n"]),
            "95 % interval": _span(row["low"], row["high"], _n),
            "share of draws with one": number(row["share"]),
            "seeds": number(row["seeds"]),
        }
        for row in table.to_dict("records")
    ]
    return {"rows": rows[:_MOST], "left": max(0, len(rows) - _MOST),
            "line": _energy_line(table.iloc[0].to_dict()), "notes": [], "missing": ""}  # fmt: skip


def _energy_line(row: dict[Any, Any]) -> str:
    if row["few"] == row["many"]:
        start = f"At every number of samples the free energy prefers the solution of {row['few']}"
        return f"{start} over that of the other arm: it has no larger loss and no larger LLC."
    return (
        f"With few samples the free energy prefers the simpler solution of {row['few']}, with many "
        f"that of {row['many']}; the change comes near n = {_n(row['critical_n'])} "
        f"[{_n(row['low'])}, {_n(row['high'])}]. Leading terms only: an order of magnitude."
    )


def series_title(series: str) -> str:
    """`kl/frozen` in words: the state set, and the loss where it is not the usual one."""
    loss, _, rest = series.partition("/")
    states, *others = rest.split("/")
    more = ", ".join(part for part in others if part != "*")
    words = states_short(states) if rest else loss
    return words + (f" ({loss})" if rest and loss != "kl" else "") + (f", {more}" if more else "")


def feature_title(feature: str) -> str:
    """A feature of the table `path_dependence` in words."""
    kind, _, rest = feature.partition(":")
    if kind == "llc":
        return f"the LLC {series_title(rest)}"
    probe, _, metric = rest.partition(":")
    return f"the probe {pair_title(probe, metric)}"


def sentences(data: StudyData) -> list[str]:
    """What the statistics over seeds allow to say in the summary; nothing where they are absent."""
    views = (prediction_view(data), path_view(data), energy_view(data))
    return [view["line"] for view in views if view["line"]]


def _notes(table: pd.DataFrame) -> list[str]:
    parts = [p for note in table["note"].dropna().unique() for p in str(note).split("; ") if p]
    return list(dict.fromkeys(parts))


def _nothing(why: str) -> dict[str, Any]:
    return {"rows": [], "left": 0, "line": "", "notes": [], "missing": why}


def _percent(value: Any) -> str:
    return "–" if pd.isna(value) else f"{100 * value:+.0f} %"


def _n(value: Any) -> str:
    return "–" if pd.isna(value) else short(float(value)) if value < 1e12 else f"{value:.0e}"


def _span(low: Any, high: Any, form: Any) -> str:
    return "–" if pd.isna(low) or pd.isna(high) else f"{form(low)} to {form(high)}"
