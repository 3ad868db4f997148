"""All goal scores over training in one figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from envs.errors import InputError

PANELS = {
    "capability": "capability\n(end reached, coin there)",
    "coin_seeking": "coin seeking\n(0 ignores, 1 as the seeker)",
    "preference": "preference\n(1 coin first, −1 end first)",
    "persistence": "persistence\n(end reached, no coin)",
}


def plot_scores(probes: pd.DataFrame) -> Figure:
    """Scores with intervals over environment steps, one panel per score, a line per probe.

    Args:
        probes: the table `probes` of one run, several checkpoints.

    Returns:
        The figure; steps on a symmetric log axis so that step 0 is shown. Values that are
        missing for low capability leave a gap.

    Raises:
        InputError: if the table has no scores, or those of several runs.
    """
    scores = probes[probes["metric"].isin(PANELS) & (probes["probe"] != "suite")]
    if scores.empty:
        raise InputError("no scores in the table: allowed a table from score_episodes")
    if scores["run"].nunique() > 1:
        raise InputError(f"scores of {scores['run'].nunique()} runs: allowed one run per figure")
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(len(PANELS), 1, sharex=True)
    for axis, (metric, label) in zip(axes, PANELS.items(), strict=True):
        for probe, part in scores[scores["metric"] == metric].groupby("probe"):
            _line(axis, part.sort_values("step"), str(probe))
        axis.set_ylabel(label)
        axis.set_ylim((-1.05, 1.05) if metric in ("coin_seeking", "preference") else (-0.02, 1.05))
        axis.axhline(0, color="#999999", linewidth=0.8)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    steps = scores["step"].astype(float)
    axes[-1].set_xscale("symlog", linthresh=max(1.0, float(steps[steps > 0].min() or 1)))
    axes[-1].set_xlabel("environment steps of training")
    return figure


def _line(axis: Axes, part: pd.DataFrame, label: str) -> None:
    x = part["step"].to_numpy(dtype=np.float64)
    y, low, high = (part[c].to_numpy(dtype=np.float64) for c in ("value", "ci_low", "ci_high"))
    (line,) = axis.plot(x, y, marker="o", markersize=3, label=label)
    axis.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
