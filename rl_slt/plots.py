"""Pictures of estimates: traces of chains, and the plateau of a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from rl_slt.result import LLCEstimate

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def trace_figure(estimate: LLCEstimate) -> Figure:
    """Each chain's `nbeta (L - L(w*))` over its draws, and the running mean beside the estimate."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    scale = estimate.nbeta or 1.0
    for number, (chain, part) in enumerate(estimate.draws.groupby("chain")):
        excess = scale * (part["loss_value"] - part["loss_start"]).to_numpy()
        colour = COLOURS[number % len(COLOURS)]
        left.plot(part["draw"], excess, lw=0.6, color=colour, label=f"chain {chain}")
        running = np.cumsum(excess) / np.arange(1, len(excess) + 1)
        right.plot(part["draw"], running, lw=1.2, color=colour)
    low, high = estimate.interval
    right.axhline(estimate.llc, color="black", lw=1)
    right.axhspan(low, high, color="black", alpha=0.12)
    left.set(xlabel="draw", ylabel="nβ (L − L(w*))", title="draws after burn-in")
    right.set(xlabel="draw", ylabel="LLC", title=f"running means · {estimate.status}")
    left.legend(fontsize=7, ncols=2)
    return figure


def plateau_figure(table: pd.DataFrame) -> Figure:
    """LLC over localization and over nbeta, a colour per policy; open marks are half steps."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, part) in enumerate(table.groupby("policy", sort=False)):
        colour = COLOURS[i % len(COLOURS)]
        _points(left, part[part["varied"] == "localization"], "localization", colour, str(name))
        _points(left, part[part["varied"] == "step"], "localization", colour, None)
        _points(right, part[part["varied"] == "nbeta"], "nbeta", colour, str(name))
    for axes, what in ((left, "localization γ"), (right, "nβ")):
        axes.set(xscale="log", xlabel=what, ylabel="LLC")
    left.legend(fontsize=8)
    return figure


def _points(axes: Axes, part: pd.DataFrame, x: str, colour: str, label: str | None) -> None:
    part = part.sort_values(x)
    axes.errorbar(
        part[x],
        part["llc"],
        yerr=1.96 * part["stderr"],
        fmt="o-" if label else "o",
        color=colour,
        mfc=colour if label else "white",
        ms=5,
        lw=1,
        label=label,
    )
