"""Statistics over training seeds, as rows and sentences for people."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.report import labels
from analysis.report.data import StudyData
from analysis.series import MAIN_LOSS

_MOST = 24
_MODELS = ("mean", "llc", "baseline", "baseline + llc")


@dataclass(frozen=True)
class Result:
    """What a table over seeds came to: the answer in words, rows, or why there are none.

    `left` is how many rows more the table holds; `notes` are reasons for missing numbers.
    """

    line: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    notes: list[str] = field(default_factory=list)
    missing: str = ""


def prediction_result(data: StudyData) -> Result:
    """Does the LLC predict the goal? One row per LLC series and outcome."""
    table = data.table("predictions")
    if table.empty:
        return Result(missing="No prediction of the goal was computed: it needs LLC estimates, "
                      "probes and several runs.")  # fmt: skip
    notes = _notes(table)
    if table["rmse"].notna().sum() == 0:
        return Result(missing=f"{labels.capital(notes[0])}." if notes else "Too few runs.")
    best = table[table["model"] == "baseline + llc"]
    pair = ["llc_series", "probe", "metric"]
    last = table.drop_duplicates([*pair, "model"], keep="last")
    errors = last.set_index([*pair, "model"])["rmse"]
    rows = [
        {
            "outcome": labels.pair_title(str(row["probe"]), str(row["metric"])),
            "LLC": series_title(str(row["llc_series"])),
            **{
                f"error of {name}": labels.number(errors.get((*(row[c] for c in pair), name)))
                for name in _MODELS
            },
            "gain": _percent(row["gain"]),
            "95 % interval": labels.interval(row["gain_low"], row["gain_high"], _percent),
            "p": labels.number(row["p_value"]),
            "p corrected": labels.number(row["p_adjusted"]),
            "seeds": labels.number(row["seeds"]),
        }
        for row in best.to_dict("records")
    ]
    tested = best.dropna(subset=["p_value"])
    found = int((tested["p_adjusted"].fillna(tested["p_value"]) <= 0.05).sum())
    line = (
        f"Of {len(tested)} outcomes and LLC series, the LLC improves the prediction of the next "
        f"checkpoint beyond the cheaper signs in {found} (5 %, corrected for their number). "
        + _least_gain(tested)
        * (found < len(tested))
        if len(tested)
        else "Whether the LLC predicts the goal better than cheaper signs do is not tested with "
        "fewer than 5 seeds; the numbers below only describe these runs."
    )
    return Result(line, rows[:_MOST], max(0, len(rows) - _MOST), notes)


def path_result(data: StudyData) -> Result:
    """Does an early value predict the final goal?"""
    table = data.table("path_dependence")
    if table.empty:
        return Result(missing="Whether the goal can be predicted early was not computed: it needs "
                      "probes before the last three checkpoints, which make the goal.")  # fmt: skip
    notes, known = _notes(table), table.dropna(subset=["p_value"])
    goal = labels.pair_title(str(table["probe"].iloc[0]), str(table["metric"].iloc[0]))
    line = f"Runs are divided by their final {goal}, at {labels.number(table['cut'].iloc[0])}."
    if known.empty:
        why = labels.capital(notes[0]) if notes else "No test"
        end = "so an early sign of the goal cannot be distinguished from chance here."
        return Result(missing=f"{line} {why}: {end}")
    found = known[known["p_adjusted"] <= 0.05].sort_values("step")
    runs = labels.count(int(known["n"].max()), "run")
    line += f" {runs}, each classified from the others by one early value. "
    if found.empty:
        line += (
            "No early value predicts the final goal better than chance (5 %, corrected). "
            f"{_least_separation(known)}"
        )
    else:
        first = found.iloc[0]
        line += (
            f"The earliest that does is {feature_title(str(first['feature']))} at step "
            f"{labels.short(float(first['step']))}: right in {first['accuracy']:.0%} of runs, "
            f"chance {first['chance']:.0%}."
        )
    return Result(line, notes=notes)


def _least_gain(tested: pd.DataFrame) -> str:
    """The gain that is found with 80 %, of the outcome of which it was simulated."""
    told = tested.reindex(columns=["probe", "metric", "smallest_effect"])
    told = told.dropna(subset=["smallest_effect"])
    if told.empty:
        return "What gain would be found with 80 % was not computed, or none would be."
    row = told.iloc[0]
    of = labels.pair_title(str(row["probe"]), str(row["metric"]))
    return (
        f"Of {of} a gain of {_percent(row['smallest_effect'])} is found with about 80 %, so "
        "corrected; of the others this was not computed."
    )


def _least_separation(known: pd.DataFrame) -> str:
    """How far apart the early values of the two kinds of runs must be."""
    sizes = known.reindex(columns=["smallest_effect"])["smallest_effect"].dropna()
    if sizes.empty:
        return "With these runs none could, so corrected."
    return (
        f"One of which the two kinds of runs differ by {labels.number(sizes.median())} of its "
        "standard deviations within a kind is found with about 80 %."
    )


def series_title(series: str) -> str:
    """`kl/frozen` in words: the state set, and the loss where it is not the usual one."""
    loss, _, rest = series.partition("/")
    states, *others = rest.split("/")
    parts = (re.sub("^matched=(.*)", r"at matched entropy \1 nats", part) for part in others)
    more = "".join(f", {part}" for part in parts)
    words = labels.states_short(states) if rest else loss
    return words + (f" ({loss})" if rest and loss != MAIN_LOSS else "") + more


def feature_title(feature: str) -> str:
    """A feature of the table `path_dependence` in words."""
    kind, _, rest = feature.partition(":")
    if kind == "llc":
        return f"the LLC {series_title(rest)}"
    probe, _, metric = rest.partition(":")
    return f"the probe {labels.pair_title(probe, metric)}"


def _notes(table: pd.DataFrame) -> list[str]:
    parts = [p for note in table["note"].dropna().unique() for p in str(note).split("; ") if p]
    return list(dict.fromkeys(parts))


def _percent(value: Any) -> str:
    return "–" if pd.isna(value) else f"{100 * value:+.0f} %"
