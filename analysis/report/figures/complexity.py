"""Figure: the LLC of all arms over environment steps, in common axes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.lines import llc_lines
from analysis.report.figures.model import Figure, Panel, Series
from analysis.report.labels import LLC_UNIT as UNIT
from analysis.report.labels import states_title
from analysis.report.queries import states_in_order


def complexity_figure(data: StudyData, llc: pd.DataFrame, axis: dict[str, Any]) -> Figure:
    """One panel per state set, one line per arm."""
    names = states_in_order(llc) if len(llc) else []
    panels, series = [], []
    for name in names:
        mine = llc[llc["states"] == name]
        key = f"llc:{name}"
        panels.append(Panel(key, f"LLC {states_title(name)}", UNIT, height=220))
        for i, arm in enumerate(data.arms):
            series += llc_lines(mine, arm, i, key, "solid")
    return Figure(
        id="complexity",
        kind="steps",
        title="How complex the policies are",
        caption=(
            "The local learning coefficient (LLC) of the checkpoints, in common axes. A larger "
            "value means that fewer nearby weight settings keep the same behaviour. Bands: 95 % "
            "intervals of the sampler's own error, or over seeds where an arm has several. Only "
            "estimates on the same states are comparable between arms."
        ),
        alt=_alt(series),
        x_title="environment steps (log scale)",
        panels=panels or [Panel("llc", "LLC", UNIT, missing="no estimates")],
        series=series,
        axis=axis,
        missing="" if series else "There are no LLC estimates (table llc is empty).",
    )


def _alt(series: list[Series]) -> str:
    last = [
        f"{s.name} {s.panel.partition(':')[2]} {y[-1]:.1f} at step {s.x[-1]}"
        for s in series
        if (y := [v for v in s.y if v is not None]) and s.x
    ]
    return "Lines of the LLC over environment steps. Last values: " + "; ".join(last[:8]) + "."
