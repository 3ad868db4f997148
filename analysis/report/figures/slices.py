"""Figures: losses and return along lines through the weights of one of two agents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.comparisons import comparisons
from analysis.report.data import StudyData
from analysis.report.figures.axes import linear_axis
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series, numbers

_COLORS = {"random": 5, "gradient": 6, "between": 4}  # by kind of line


def _draw(data: StudyData, between: bool) -> Iterator[Figure]:
    """A figure for each comparison that has lines of that kind."""
    for i, one in enumerate(comparisons(data)[0]):
        rows = pd.DataFrame(one.slices)
        rows = rows[(rows["kind"] == "between") == between] if len(rows) else rows
        if len(rows):
            x = 100 * (rows["fraction"] if between else rows["distance"] / rows["norm"])
            title = f"From {one.a} to {one.b}" if between else f"Around {one.a}"
            record = BETWEEN if between else NEAR
            yield _figure(rows.assign(x=x), record.x_title, f"-{i}", title)


def _figure(rows: pd.DataFrame, x_title: str, id_: str, title: str) -> Figure:
    panels, series = [], []
    for measure, part in rows.groupby("measure", sort=False):
        name = str(measure)
        label = "reward per episode" if name == "return" else "nats per state"
        panels.append(Panel(name, name[:1].upper() + name[1:], label, height=110))
        for (kind, line), points in part.groupby(["kind", "direction"], sort=False):
            points = points.sort_values("x")
            ends = points.reindex(columns=["ci_low", "ci_high"]).astype(float)
            known = bool(ends.notna().any(axis=None))
            series.append(
                Series(
                    name, str(line), "mean", _COLORS.get(str(kind), 5),
                    numbers(points["x"]), numbers(points["value"]),
                    low=numbers(ends["ci_low"]) if known else [],
                    high=numbers(ends["ci_high"]) if known else [],
                )
            )  # fmt: skip
    alt = f"Lines of {', '.join(p.title for p in panels)} over {x_title}."
    return Figure(panels, series, alt, axis=_axis(rows["x"]), id=id_, title=title)


def _axis(x: pd.Series) -> dict[str, Any]:
    """A linear axis with about six round ticks."""
    low, high = float(x.min()), float(x.max())
    pad = 0.03 * (high - low)
    raw = (high - low) / 5
    size = 10.0 ** (len(str(int(raw))) - 1) if raw >= 1 else 0.1
    gap = next(size * k for k in (1, 2, 2.5, 5, 10, 20, 50) if size * k >= raw)
    first = -(-low // gap) * gap
    ticks = first + gap * np.arange(int((high - first) / gap + 1e-9) + 1)
    return linear_axis("at", (low - pad, high + pad), ticks.tolist())


NEAR = FigureRecord(
    id="slices-near",
    section="comparison",
    title="Around an agent",
    caption=(
        "Loss and return at weights moved along a random line (each filter in proportion) and "
        "along the gradient of the KL from the other agent. A flat valley keeps its behavior. "
        "Bands: 95 % intervals over episodes."
    ),
    x_title="distance in weight space, % of the norm of the weights",
    needs="The comparison holds no lines around the agent.",
    draw=partial(_draw, between=False),
)
BETWEEN = FigureRecord(
    id="slices-between",
    section="comparison",
    title="Between two agents",
    caption=(
        "The same on the straight line between the weights of both agents, 0 the first "
        "and 100 the second; a rise between them is a barrier."
    ),
    x_title="share of the straight way between their weights, %",
    needs="The comparison holds no line between the agents.",
    draw=partial(_draw, between=True),
)
