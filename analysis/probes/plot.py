"""All goal probes over training in one figure, a column of panels per run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.probes.records import FIXED_STATE_METRICS, LINEAR_PROBE
from analysis.probes.scores import SCORES, one_mode
from rl_slt import InputError


def _padded(low: float, high: float) -> tuple[float, float]:
    """Limits of an axis with room for marks at both ends."""
    pad = 0.025 * (high - low)
    return low - pad, high + pad


@dataclass(frozen=True)
class Panel:
    """One row of panels: what it shows, under which names, and how far its axis goes."""

    label: str
    metric: str  # a score's name, a line per probe; or a beginning of names, a line for each rest
    probe: str = ""
    limits: tuple[float, float] = (0.0, 1.0)

    def lines(self, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Rows of each line by its name."""
        if not self.probe:
            mine = rows[(rows["metric"] == self.metric) & (rows["probe"] != "suite")]
            return {str(name): part for name, part in mine.groupby("probe")}
        mine = rows[(rows["probe"] == self.probe) & rows["metric"].str.startswith(self.metric)]
        return {str(name).removeprefix(self.metric): part for name, part in mine.groupby("metric")}


PANELS = (
    *(Panel(f"{score.title}\n{fill(f'({score.y_label})', 28)}", name, limits=_padded(*score.range))
      for name, score in SCORES.items() if score.shown),
    *(Panel(f"{m.family}\n{fill(f'({m.y_label})', 28)}", f"{m.metric.partition(':')[0]}:",
            m.probe, _padded(*m.bounds)) for m in FIXED_STATE_METRICS if m.family),
    Panel("linear probe, trained layers\n(coin left or right)", "accuracy:trained:", LINEAR_PROBE,
          _padded(0.4, 1)),
)  # fmt: skip
_SCORES = {panel.metric for panel in PANELS if not panel.probe}


def plot_scores(probes: pd.DataFrame) -> Figure:
    """Scores and metrics of fixed states with intervals over environment steps.

    Args:
        probes: the table `probes` of one or several runs, several checkpoints; of two modes,
            sampled actions are shown.

    Returns:
        The figure: a row per score (rows and lines without a value are left out), a column per run,
        a line per probe, side of the coin, or layer. Steps on a symmetric log axis so that step 0
        is shown. Values that are missing for low capability leave a gap. Where no run has a second
        checkpoint, the points of a panel stand side by side, with bars for their intervals.

    Raises:
        InputError: if the table has no scores.
    """
    rows = one_mode(probes[probes["step"].notna()])
    if not rows["metric"].isin(_SCORES).any():
        raise InputError("no scores in the table: allowed a table from score_episodes")
    runs = sorted(map(str, rows["run"].unique()))
    valued = rows[rows["value"].notna()]
    panels = [panel for panel in PANELS if panel.lines(valued)]
    figure = Figure(figsize=(2.2 + 3.6 * len(runs), 0.6 + 2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(runs), sharex=True, sharey="row", squeeze=False)
    several = bool((rows.groupby("run")["step"].nunique() > 1).any())
    for panel, across in zip(panels, axes, strict=True):
        known = list(panel.lines(valued))
        for run, axis in zip(runs, across, strict=True):
            lines = panel.lines(rows[rows["run"] == run])
            for i, name in enumerate(known):
                if name in lines and several:
                    _line(axis, lines[name].sort_values("step"), name, f"C{i % 10}")
                elif name in lines:
                    _point(axis, (i + 0.5) / len(known), lines[name], name, f"C{i % 10}")
            axis.axhline(0, color="#999999", linewidth=0.8)
        across[0].set_ylabel(panel.label, fontsize=8.5)  # so that rows' labels do not meet
        across[0].set_ylim(panel.limits)
        handles = {text.get_label(): text for axis in across for text in axis.lines
                   if not str(text.get_label()).startswith("_")}  # fmt: skip
        across[-1].legend(handles.values(), handles.keys(), loc="center left",
                          bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)  # fmt: skip
    for run, axis in zip(runs, axes[0], strict=True):
        axis.set_title(run)
    for run, axis in zip(runs, axes[-1], strict=True):
        axis.set_xlabel("environment steps of training")
        if not several:
            axis.set_xticks([0.5], [f"{rows.loc[rows['run'] == run, 'step'].iloc[0]:,.0f}"])
            axis.set_xlim(0, 1)
    if several:
        _log_steps(axes[-1], rows["step"].astype(float))
    return figure


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _log_steps(axes: np.ndarray, steps: pd.Series) -> None:
    first = max(1.0, float(steps[steps > 0].min() if (steps > 0).any() else 1))
    for axis in axes:
        axis.set_xscale("symlog", linthresh=first)
        axis.set_xlim(-0.2 * first, 1.2 * max(first, float(steps.max())))


def _line(axis: Axes, part: pd.DataFrame, label: str, color: str) -> None:
    x = part["step"].to_numpy(dtype=np.float64)
    y, low, high = (part[c].to_numpy(dtype=np.float64) for c in ("value", "ci_low", "ci_high"))
    axis.plot(x, y, marker="o", markersize=3, label=label, color=color)
    axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _point(axis: Axes, x: float, part: pd.DataFrame, label: str, color: str) -> None:
    y, low, high = (part[c].to_numpy(dtype=np.float64) for c in ("value", "ci_low", "ci_high"))
    axis.vlines([x], low, high, color=color)
    axis.plot([x], y, marker="o", markersize=4, label=label, color=color, linestyle="none")
