"""The hypotheses of a study as rows and sentences for people: what was claimed, what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.hypotheses import LATE
from analysis.report import labels
from analysis.report.data import StudyData

LEVEL = 0.05
_MOST = 12  # exploratory rows shown, the smallest p first
SHOWN, NOT_SHOWN, NOT_TESTED = "found", "not found", "not tested"


@dataclass(frozen=True)
class HypothesisView:
    """What the page shows of the hypotheses.

    Attributes:
        fixed: when and as what file they were fixed.
        named: rows of the primary and secondary ones, in their order.
        late: rows of those that were named after the data.
        exploratory: rows of the further pairs with the smallest p.
        line: what came of the exploratory pairs.
        left: how many rows more the table holds.
        missing: why there are none.
    """

    fixed: str = ""
    named: list[dict[str, str]] = field(default_factory=list)
    late: list[dict[str, str]] = field(default_factory=list)
    exploratory: list[dict[str, str]] = field(default_factory=list)
    line: str = ""
    left: int = 0
    missing: str = ""


def hypothesis_view(data: StudyData) -> HypothesisView:
    """The table `hypotheses` for the page; a result that is not found has its power beside it."""
    table = data.table("hypotheses")
    named = table[table["role"] != "exploratory"]
    further = table[table["role"] == "exploratory"].sort_values(["p_adjusted", "p_value"])
    is_late = further["hypothesis"].str.contains(LATE, regex=False)
    late, further = further[is_late], further[~is_late]
    tested = further.dropna(subset=["p_value"])
    line = ""
    if len(tested):
        found = int((tested["p_adjusted"] <= LEVEL).sum())
        line = (
            f"Of {labels.count(len(tested), 'further pair')} of an LLC series and an outcome "
            f"across seeds, {found} pass 5 % corrected for all of them. They were not named "
            "before the data: what passes here is a hypothesis for a next study."
        )
    shown = further.head(_MOST)
    return HypothesisView(
        fixed=_fixed(data, named),
        named=[_row(row) for row in named.to_dict("records")],
        late=[_row(row) for row in late.to_dict("records")],
        exploratory=[_row(row) for row in shown.to_dict("records")],
        line=line,
        left=len(further) - len(shown),
        missing="" if len(named) else "This study named no hypothesis before its data.",
    )


def sentence_of(row: dict[Any, Any]) -> str:
    """What came of a primary or secondary hypothesis, a row of the table."""
    claim, verdict = f"The {row['role']} hypothesis, “{row['hypothesis']}”, ", verdict_of(row)
    if verdict == NOT_TESTED:
        return f"{claim}is not tested: {row['message'] or 'no data'}."
    kind = [row["direction"]] * (row["direction"] == "two-sided")
    kind += ["corrected"] * (row["role"] != "primary")
    how = f" ({', '.join(kind)})" if kind else ""
    numbers = (
        f"{row['statistic']} {labels.number(row['value'])}{_interval(row)}, "
        f"p = {labels.number(row['p_adjusted'])}{how}, {labels.count(row['n'], 'run')}"
    )
    note = labels.text(row["message"])
    if verdict == SHOWN:
        return f"{claim}is supported at 5 %: {'; '.join(filter(None, (numbers, note)))}."
    power = power_of(row)
    return f"{claim}is not supported: {'; '.join(filter(None, (numbers, power, note)))}."


def verdict_of(row: dict[Any, Any]) -> str:
    """Whether a hypothesis was found at its corrected 5 %."""
    if pd.isna(row["p_adjusted"]):
        return NOT_TESTED
    return SHOWN if row["p_adjusted"] <= LEVEL else NOT_SHOWN


def power_of(row: dict[Any, Any]) -> str:
    """The power statement next to a result that was not found; empty where the note is one."""
    if pd.isna(row["smallest_effect"]):
        return (
            ""
            if labels.text(row["message"])
            else "with these runs and values no effect is large enough to be found with 80 %"
        )
    return f"this design finds {labels.number(row['smallest_effect'])} or more with 80 %"


def _row(row: dict[Any, Any]) -> dict[str, str]:
    verdict = verdict_of(row)
    test = str(row["statistic"]) + {"greater": " > 0", "less": " < 0"}.get(row["direction"], " ≠ 0")
    return {
        "role": str(row["role"]),
        "hypothesis": str(row["hypothesis"]),
        "test": test,
        "value": labels.number(row["value"]),
        "95 % interval": labels.interval(row["ci_low"], row["ci_high"]),
        "p": labels.number(row["p_value"]),
        "p corrected": labels.number(row["p_adjusted"]),
        "q": labels.number(row["q_value"]),
        "runs": labels.number(row["n"]),
        "result": verdict,
        "power": power_of(row) if verdict == NOT_SHOWN else "",
        "note": str(row["message"] if pd.notna(row["message"]) else ""),
    }


def _interval(row: dict[Any, Any]) -> str:
    low, high = labels.number(row["ci_low"]), labels.number(row["ci_high"])
    return f" [{low}, {high}]" if pd.notna(row["ci_low"]) else ""


def _fixed(data: StudyData, named: pd.DataFrame) -> str:
    if named.empty:
        return ""
    if not {"sha256", "time"} <= set(data.fixed):
        return "When they were fixed is not recorded for these data."
    return (
        f"Fixed on {data.fixed['time']}, when the study started and before any training, in the "
        f"file study.toml with SHA-256 {data.fixed['sha256']}."
    )
