"""Figure: how well a value at an early checkpoint tells the goal that a run ends with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.model import Figure, Panel, Series, numbers
from analysis.report.labels import capital
from analysis.report.results import feature_title, path_view

_MOST = 5  # features with lines of their own: the LLCs, then the best of the probes
_MOST_LLC = 2
_COLOUR = 5  # no arm's


def early_figure(data: StudyData, axis: dict[str, Any]) -> Figure:
    """Accuracy over early checkpoints, one panel per feature, its chance level dashed."""
    table = data.table("path_dependence").dropna(subset=["accuracy"])
    view = path_view(data)
    names = [] if view["missing"] else _chosen(table)
    panels, series = [], []
    for name in names:
        rows = table[table["feature"] == name].sort_values("step")
        title = capital(feature_title(name).removeprefix("the ").removeprefix("probe "))
        panels.append(Panel(name, title, "share of runs told rightly", (0.0, 1.0), 84))
        steps = [int(s) for s in rows["step"]]
        series.append(Series(name, title, "mean", _COLOUR, steps, numbers(rows["accuracy"])))
        series.append(Series(name, "chance", "baseline", -1, steps, numbers(rows["chance"])))
    return Figure(
        id="early",
        kind="steps",
        title="How early the final goal is told",
        caption=(
            "Each run is told from the others by one value at one checkpoint; the height is the "
            "share told rightly. Dashed: chance, from pairing early values and final goals anew "
            "within arms. Values close to the end are the goal itself."
        ),
        alt=_alt(series),
        x_title="environment steps (log scale)",
        panels=panels or [Panel("early", "", "share of runs")],
        series=series,
        axis=axis,
        missing=view["missing"],
        arm="",
    )


def _chosen(table: pd.DataFrame) -> list[str]:
    mean = table.groupby("feature")["accuracy"].mean().sort_values(ascending=False)
    llc = [str(f) for f in mean.index if str(f).startswith("llc:")][:_MOST_LLC]
    rest = [str(f) for f in mean.index if not str(f).startswith("llc:")]
    return [*llc, *rest[: _MOST - len(llc)]]


def _alt(series: list[Series]) -> str:
    told = [
        f"{s.name}: best {max(v for v in s.y if v is not None):.2f}"
        for s in series
        if s.role == "mean" and any(v is not None for v in s.y)
    ]
    return "Lines of the share of runs told rightly, over environment steps. " + "; ".join(told)
