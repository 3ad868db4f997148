"""Transitions of the table, each placed in the panel whose series it belongs to."""

from __future__ import annotations

import pandas as pd

from analysis.report.figures.model import Mark, Panel, numbers


def transition_marks(rows: pd.DataFrame, panels: list[Panel]) -> list[Mark]:
    """Marks for the transitions of some runs; those of series not shown have no panel."""
    marks = []
    for row in rows.dropna(subset=["step"]).to_dict("records"):
        low, high = numbers([row["step_low"], row["step_high"]])
        marks.append(
            Mark(
                panel=panel_of(str(row["series"]), panels),
                step=float(row["step"]),
                low=low,
                high=high,
                kind=_text(row["kind"]),
                detector=_text(row["detector"]),
                series=_text(row["series"]),
                run=_text(row["run"]),
            )
        )
    return marks


def panel_of(series: str, panels: list[Panel]) -> str:
    """The key of the panel that shows a series (`llc:kl:frozen`, `probe:behind:coin_rate`)."""
    return next((p.key for p in panels if p.source and p.source == series), "")


def _text(value: object) -> str:
    return "" if value is None or value is pd.NA else str(value)
