"""The picture of a calibration."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator


def plateau_figure(table: pd.DataFrame, localization: float) -> Figure:
    """What a calibration tried, a color per policy; the line marks the recommendation.

    LLC over localization (open marks: half the step), and at the recommended localization over
    nbeta and over step size (open marks: step sizes given, not adapted).

    Args:
        table: `Calibration.table`.
        localization: recommended.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    for i, (name, part) in enumerate(table.groupby("policy", sort=False)):
        color, label = f"C{i % 10}", str(name)
        grid, half, nbeta, given = (
            part[part["varied"] == v] for v in ("localization", "half-step", "nbeta", "step-size")
        )
        here, near = (rows[rows["localization"] == localization] for rows in (grid, half))
        _points(panels[0], grid, "localization", color, label)
        _points(
            panels[0], half.assign(localization=1.06 * half["localization"]), "localization", color
        )
        _points(panels[1], pd.concat([here, nbeta]), "nbeta", color, label)
        _points(panels[2], pd.concat([here, near]), "step_size", color, label)
        _points(panels[2], given, "step_size", color)
    labels = ("localization γ", "nβ", f"step size at γ = {localization:g}")
    for axes, what in zip(panels, labels, strict=True):
        axes.set(xscale="log", xlabel=what, ylabel="LLC ± 95 %")
        low, high = axes.get_xlim()
        axes.set_xlim(low / 1.6, high * 1.6)  # wide enough for one of the ticks
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.2)
    panels[0].axvline(localization, color="black", lw=6, alpha=0.1)
    panels[0].set_title("filled: the step as set, open: half of it", fontsize=9)
    panels[0].legend(fontsize=7)
    return figure


def _points(axes: Axes, part: pd.DataFrame, x: str, color: str, label: str | None = None) -> None:
    """Estimates that did not fail, with intervals; without a label as open marks."""
    part = part[part["status"] != "failed"].sort_values(x)
    fmt, fill = ("o-", color) if label else ("o", "white")
    axes.errorbar(
        part[x], part["llc"], yerr=1.96 * part["stderr"], fmt=fmt, color=color, mfc=fill, ms=5,
        lw=1, label=label,
    )  # fmt: skip
