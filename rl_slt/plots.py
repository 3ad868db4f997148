"""Pictures of estimates: traces of chains, and the plateau of a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

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


def plateau_figure(table: pd.DataFrame, localization: float) -> Figure:
    """What a calibration tried, a colour per policy; the line marks the recommendation.

    LLC over localization (open marks: half the step), and at the recommended localization over
    nbeta and over step size (open marks: step sizes given, not adapted).
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 3)
    for i, (name, part) in enumerate(table.groupby("policy", sort=False)):
        colour = COLOURS[i % len(COLOURS)]
        rows = {v: part[part["varied"] == v] for v in VARIED}
        here = rows["localization"][rows["localization"]["localization"] == localization]
        near = rows["half-step"][rows["half-step"]["localization"] == localization]
        _points(panels[0], rows["localization"], "localization", colour, str(name))
        _points(panels[0], rows["half-step"], "localization", colour, None, shift=1.06)
        _points(panels[1], pd.concat([here, rows["nbeta"]]), "nbeta", colour, str(name))
        _points(panels[2], pd.concat([here, near]), "step_size", colour, str(name))
        _points(panels[2], rows["step-size"], "step_size", colour, None)
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


VARIED = ("localization", "half-step", "nbeta", "step-size")


def _points(
    axes: Axes, part: pd.DataFrame, x: str, colour: str, label: str | None, shift: float = 1.0
) -> None:
    part = part[part["status"] != "failed"].sort_values(x)
    axes.errorbar(
        shift * part[x],
        part["llc"],
        yerr=1.96 * part["stderr"],
        fmt="o-" if label else "o",
        color=colour,
        mfc=colour if label else "white",
        ms=5,
        lw=1,
        label=label,
    )
