"""Figures: losses and return along lines through the weights of one of two agents."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.comparisons import Comparison
from analysis.report.figures.model import Figure, Panel, Series, numbers
from analysis.report.seed_means import Z95

_COLOURS = {"random": 5, "gradient": 6, "between": 4}


def slice_figures(found: list[Comparison]) -> list[Figure]:
    """Two figures for each comparison: around the first agent, and from it to the other."""
    out = []
    for i, one in enumerate(found):
        rows = pd.DataFrame(one.slices)
        if rows.empty:
            continue
        rows = rows.assign(x=100 * rows["distance"] / rows["norm"])
        near = rows[rows["kind"] != "between"]
        out.append(_figure(f"near-{i}", near, f"Around {one.a}",
                           "distance in weight space, % of the norm of the weights", (
            "Loss and return at weights moved along a random line (each filter in proportion) and "
            "along the gradient of the KL from the other agent. A flat valley keeps its behaviour."
        )))  # fmt: skip
        between = rows[rows["kind"] == "between"].assign(x=lambda r: 100 * r["fraction"])
        if len(between):
            out.append(_figure(f"between-{i}", between, f"From {one.a} to {one.b}",
                               "share of the straight way between their weights, %", (
                "The same on the straight line between the weights of both agents, 0 the first "
                "and 100 the second; a rise between them is a barrier."
            )))  # fmt: skip
    return out


def _figure(key: str, rows: pd.DataFrame, title: str, x_title: str, caption: str) -> Figure:
    panels, series = [], []
    for measure, part in rows.groupby("measure", sort=False):
        name = str(measure)
        unit = "reward per episode" if name == "return" else "nats per state"
        panels.append(Panel(name, name[:1].upper() + name[1:], unit, height=110))
        for (kind, line), points in part.groupby(["kind", "direction"], sort=False):
            points = points.sort_values("x")
            half = Z95 * points["stderr"].astype(float)
            known = bool(half.notna().any())
            series.append(
                Series(
                    name, str(line), "mean", _COLOURS.get(str(kind), 5),
                    numbers(points["x"]), numbers(points["value"]),
                    low=numbers(points["value"] - half) if known else [],
                    high=numbers(points["value"] + half) if known else [],
                )
            )  # fmt: skip
    return Figure(
        id=f"slices-{key}",
        kind="steps",
        title=title,
        caption=caption,
        alt=f"Lines of {', '.join(p.title for p in panels)} over {x_title}.",
        x_title=x_title,
        panels=panels,
        series=series,
        axis=_axis(rows["x"]),
        missing="",
    )


def _axis(x: pd.Series) -> dict[str, Any]:
    """A linear axis with about six round ticks."""
    low, high = float(x.min()), float(x.max())
    pad = 0.03 * (high - low)
    raw = (high - low) / 5
    size = 10.0 ** (len(str(int(raw))) - 1) if raw >= 1 else 0.1
    gap = next(size * k for k in (1, 2, 2.5, 5, 10, 20, 50) if size * k >= raw)
    first = -(-low // gap) * gap
    places = [first + gap * k for k in range(int((high - first) / gap + 1e-9) + 1)]
    return {
        "linear": True, "word": "at", "zero": 0.0, "cut": None, "range": [low - pad, high + pad],
        "ticks": [{"at": at, "label": f"{at:g}"} for at in places],
    }  # fmt: skip
