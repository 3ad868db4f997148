"""Figure: how well a value at an early checkpoint predicts the goal that a run ends with."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.axes import shared_axis
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series, numbers
from analysis.report.labels import capital
from analysis.report.results import feature_title, path_result

_MOST = 5  # features with lines of their own: the LLCs, then the best of the probes
_MOST_LLC = 2
_COLOR = 5  # no arm's


def _draw(data: StudyData) -> Iterator[Figure]:
    """Accuracy over early checkpoints, one panel per feature, its chance level dashed."""
    table = data.table("path_dependence").dropna(subset=["accuracy"])
    missing = path_result(data).missing
    panels, series, best = [], [], []
    for name in [] if missing else _chosen(table):
        rows = table[table["feature"] == name].sort_values("step")
        title = capital(feature_title(name).removeprefix("the ").removeprefix("probe "))
        panels.append(Panel(name, title, "share of runs classified correctly", (0.0, 1.0), 84))
        steps = [int(s) for s in rows["step"]]
        series.append(Series(name, title, "mean", _COLOR, steps, numbers(rows["accuracy"])))
        series.append(Series(name, "chance", "baseline", -1, steps, numbers(rows["chance"])))
        best.append(f"{title}: best {rows['accuracy'].max():.2f}")
    yield Figure(
        panels or [Panel("early", "", "share of runs")],
        series,
        "Lines of the share of runs classified correctly, over environment steps. "
        + "; ".join(best),
        axis=shared_axis(data),
        missing=missing,
    )


def _chosen(table: pd.DataFrame) -> list[str]:
    mean = table.groupby("feature")["accuracy"].mean().sort_values(ascending=False)
    llc = [str(f) for f in mean.index if str(f).startswith("llc:")][:_MOST_LLC]
    rest = [str(f) for f in mean.index if not str(f).startswith("llc:")]
    return [*llc, *rest[: _MOST - len(llc)]]


EARLY = FigureRecord(
    id="early",
    section="early",
    title="How early the final goal can be predicted",
    caption=(
        "Each run is classified from the other runs by one value at one checkpoint; the height is "
        "the share classified correctly. Dashed: chance, from early values and final goals "
        "permuted within arms. The last three checkpoints make the goal and are left out."
    ),
    needs="No value at an early checkpoint was judged (table path_dependence).",
    draw=_draw,
)
