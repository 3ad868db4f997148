"""Pictures of influences: which training states hold what a policy does on other states."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

SHOWN = 10  # frames in a row of the sheet
WIDTH = 10.0  # of the heat map, inches


def draw_heat_map(
    correlation: NDArray[np.float64], distinct: NDArray[np.bool_], title: str
) -> Figure:
    """Correlations of losses over draws, blank where they are not told from 0.

    Args:
        correlation: probe states down, training states across `[P, N]`.
        distinct: which are told from 0 `[P, N]`.
        title: of the picture.
    """
    across = np.argsort(-np.nanmean(correlation, 0), kind="stable")
    down = np.argsort(-np.nanmean(correlation, 1), kind="stable")
    shown = np.where(distinct, correlation, np.nan)[np.ix_(down, across)]
    # Every training state has a column of pixels: a single pair is not to fall between two.
    dpi = max(120, math.ceil(1.25 * len(across) / WIDTH))
    figure = Figure(figsize=(WIDTH, 4.2), dpi=dpi, layout="constrained")
    ax = figure.subplots()
    ax.set_facecolor("0.9")
    image = ax.imshow(
        shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )  # fmt: skip
    ax.set(xlabel="training states, by mean correlation", ylabel="probe states, likewise")
    ax.set_title(title, fontsize=9, loc="left")
    figure.colorbar(image, label="correlation of losses (gray: not told from 0)", pad=0.01)
    return figure


def draw_frames(
    table: pd.DataFrame, training: NDArray[np.uint8], probe: NDArray[np.uint8], title: str
) -> Figure:
    """The training states with the lowest and highest influence, above some of the probe's.

    Those whose influence is told from 0 come first.

    Args:
        table: of training states by rising influence, columns state, influence, correlation and
            distinct.
        training: frames `[N, H, W, 3]`.
        probe: frames `[P, H, W, 3]`.
        title: of the picture.
    """
    sure, rest = table[table["distinct"]], table[~table["distinct"]]
    holds, against = sure[sure["influence"] < 0], sure[sure["influence"] > 0]
    lowest = pd.concat([holds, rest]).head(SHOWN)
    highest = pd.concat([rest, against]).tail(SHOWN).iloc[::-1]
    figure = Figure(figsize=(SHOWN * 1.15, 5.0), dpi=120)
    axes = figure.subplots(
        3, SHOWN, squeeze=False,
        gridspec_kw={"left": 0.01, "right": 0.99, "top": 0.84, "bottom": 0.01, "hspace": 0.5},
    )  # fmt: skip
    for ax in axes.ravel():
        ax.set_axis_off()
    heads = (
        "lowest influence: more weight on these lowers the probe's loss most",
        "highest influence: more weight on these raises it, or lowers it least",
        "states of the probe",
    )
    for line, part in zip(axes, (lowest, highest), strict=False):
        for ax, row in zip(line, part.to_dict("records"), strict=False):
            sign = "" if row["distinct"] else " ?"
            _frame(ax, training[row["state"]], f"r = {row['correlation']:.2f}{sign}")
    for ax, frame in zip(axes[2], probe, strict=False):
        _frame(ax, frame, "")
    for line, head in zip(axes, heads, strict=True):
        top = line[0].get_position().y1
        figure.text(0.01, top + 0.035, head, fontsize=9, weight="bold")
    figure.text(0.01, 0.96, title, fontsize=10)
    figure.text(
        0.01, 0.925, "r: correlation of losses over draws; ?: influence not told from 0", fontsize=8
    )
    return figure


def _frame(ax: Axes, frame: NDArray[np.uint8], label: str) -> None:
    ax.imshow(frame, interpolation="nearest")
    ax.set_title(label, fontsize=7, pad=2)
