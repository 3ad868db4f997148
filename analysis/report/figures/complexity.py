"""Figure: the LLC of all arms over environment steps, in common axes."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.report.data import StudyData
from analysis.report.figures.axes import STEPS, shared_axis
from analysis.report.figures.lines import llc_lines
from analysis.report.figures.model import Drawing, FigureRecord, Panel, Series
from analysis.report.labels import LLC_LABEL, states_title
from analysis.report.queries import llc_rows, states_in_order


def _draw(data: StudyData) -> Iterator[Drawing]:
    """One panel per state set, one line per arm."""
    llc = llc_rows(data)
    panels: list[Panel] = []
    series: list[Series] = []
    for name in states_in_order(llc):
        key = f"llc:{name}"
        panels.append(Panel(key, f"LLC {states_title(name)}", LLC_LABEL, height=220))
        for i, arm in enumerate(data.arms):
            series += llc_lines(llc[llc["states"] == name], arm, i, key)
    last = [
        f"{s.name} {s.panel.partition(':')[2]} {y[-1]:.1f} at step {s.x[-1]}"
        for s in series
        if (y := [v for v in s.y if v is not None])
    ]
    alt = "Lines of the LLC over environment steps. Last values: " + "; ".join(last[:8]) + "."
    panels = panels or [Panel("llc", "LLC", LLC_LABEL, missing="no estimates")]
    yield Drawing(panels, series, alt, axis=shared_axis(data))


COMPLEXITY = FigureRecord(
    id="complexity",
    section="complexity",
    kind="steps",
    title="How complex the policies are",
    caption=(
        "The local learning coefficient (LLC) of the checkpoints, in common axes. A larger "
        "value means that fewer nearby weight settings keep the same behaviour. Bands: 95 % "
        "intervals of the sampler's own error, or over seeds where an arm has several. Only "
        "estimates on the same states are comparable between arms."
    ),
    x_title=STEPS,
    needs="There are no LLC estimates (table llc is empty).",
    draw=_draw,
)
