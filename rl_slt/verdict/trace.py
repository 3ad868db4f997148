"""The picture of an estimate's chains."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def trace_figure(
    draws: pd.DataFrame, nbeta: float, llc: float, stderr: float, status: str
) -> Figure:
    """Each chain's `nbeta (L - L(w*))` over its draws, and the running mean next to the estimate.

    Args:
        draws: `LLCEstimate.draws`.
        nbeta: inverse temperature times N; 0 shows `L - L(w*)`.
        llc: the estimate; a band of 1.96 `stderr` is drawn around it.
        stderr: its Monte Carlo standard error.
        status: for the title.
    """
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (chain, part) in enumerate(draws.groupby("chain")):
        excess = (nbeta or 1.0) * (part["loss_value"] - part["loss_at_center"]).to_numpy()
        color = f"C{number % 10}"
        left.plot(part["draw"], excess, lw=0.6, color=color, label=f"chain {chain}")
        running = np.cumsum(excess) / np.arange(1, len(excess) + 1)
        right.plot(part["draw"], running, lw=1.2, color=color)
    right.axhline(llc, color="black", lw=1)
    right.axhspan(llc - 1.96 * stderr, llc + 1.96 * stderr, color="black", alpha=0.12)
    left.set(xlabel="draw", ylabel="nβ (L − L(w*))", title="draws after burn-in")
    right.set(xlabel="draw", ylabel="LLC", title=f"running means · {status}")
    left.legend(fontsize=7, ncols=2)
    return figure
