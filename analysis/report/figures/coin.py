"""Figures: what the coin's presence alone changes in the policy, and what can be read of it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.probes import FIXED_STATE_METRICS
from analysis.report.data import StudyData
from analysis.report.figures.axes import linear_axis, shared_axis
from analysis.report.figures.lines import baseline_line, run_lines
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series
from analysis.report.queries import coin_rows, distance_rows, last_rows
from analysis.report.seed_means import Bounds

_TOWARD: Bounds = (-2.0, 2.0)
_LEAST = 0.1  # half of the smallest range drawn, so that noise does not look like an effect


_SIDES = {
    "left": "Coin to the left", "right": "Coin to the right", "end": "Coin at the level's end",
}  # fmt: skip


def _over_training(data: StudyData) -> Iterator[Figure]:
    rows = coin_rows(data)
    panels: list[Panel] = []
    series: list[Series] = []
    texts = []
    for curve in FIXED_STATE_METRICS:
        mine = rows[(rows["probe"] == curve.probe) & (rows["metric"] == curve.metric)]
        key = f"{curve.probe}:{curve.metric}"
        lines = _lines(mine, data, key, curve.bounds)
        if lines:
            texts.append(curve.text)
            panels.append(Panel(key, curve.title, curve.y_label, _range(lines), 130))
            series += _with_zero(lines, key)
        elif curve.missing and curve.probe in data.words.fixed_states:
            texts.append(curve.missing)
    caption = " ".join([*texts, OVER_TRAINING.caption])
    alt = f"Lines over environment steps. {_last_values(series)}"
    yield Figure(panels, series, alt, axis=shared_axis(data), caption=caption)


def _by_distance(data: StudyData) -> Iterator[Figure]:
    rows = distance_rows(data)
    rows = last_rows(rows[rows["metric"] == "toward"])
    rows = rows.assign(step=rows["distance"])  # lines are drawn over what is called step
    lines = {side: _lines(rows[rows["side"] == side], data, side, _TOWARD) for side in _SIDES}
    lines = {side: own for side, own in lines.items() if own}
    range_ = _range([s for own in lines.values() for s in own])
    label = "change of P(towards) − P(away)"
    panels = [Panel(side, _SIDES[side], label, range_, 110) for side in lines]
    series = [s for side, own in lines.items() for s in _with_zero(own, side)]
    known = sorted({int(d) for d in rows["distance"]}) or [0, 1]
    ends = (known[0] - 0.25, known[-1] + 0.25)
    axis = linear_axis("distance", ends, range(known[0], known[-1] + 1))
    alt = f"Lines over the distance of the coin in columns. {_last_values(series)}"
    yield Figure(panels, series, alt, axis=axis)


def _lines(rows: pd.DataFrame, data: StudyData, panel: str, bounds: Bounds) -> list[Series]:
    return [s for i, arm in enumerate(data.arms) for s in run_lines(rows, arm, i, panel, bounds)]


def _with_zero(lines: list[Series], panel: str) -> list[Series]:
    """The lines and one at zero, as long as they are."""
    places = [x for line in lines for x in line.x]
    return [*lines, baseline_line(0.0, panel, "no effect", [min(places), max(places)])]


def _range(lines: list[Series]) -> tuple[float, float]:
    """The range of all that is drawn, with zero and `_LEAST` on both sides of it."""
    ends = [v for s in lines for part in (s.y, s.low, s.high) for v in part if v is not None]
    low, high = min([-_LEAST, *ends]), max([_LEAST, *ends])
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _last_values(series: list[Series]) -> str:
    """The last value of each line, for those who cannot see it."""
    pooled = {(s.panel, s.name) for s in series if s.role == "mean"}
    shown = [
        s for s in series
        if s.role == "mean" or (s.role == "seed" and (s.panel, s.name) not in pooled)
    ]  # fmt: skip
    last = [(s, next((v for v in reversed(s.y) if v is not None), float("nan"))) for s in shown]
    return "Last values: " + "; ".join(f"{s.name} {s.panel} {v:.2f}" for s, v in last[:9]) + "."


OVER_TRAINING = FigureRecord(
    id="coin",
    section="coin",
    title="What the sight of a coin changes, along training",
    caption=(
        "Dashed: zero, as if the coin were not there. Bands: 95 % intervals over states of "
        "probe levels, or over seeds where an arm has several."
    ),
    needs="There are no counterfactual probes (table probes).",
    draw=_over_training,
)
BY_DISTANCE = FigureRecord(
    id="coin-distance",
    section="coin",
    title="The same at the last checkpoint, by side and distance of the coin",
    caption=(
        "Above zero the coin draws the agent, below zero it repels it. All panels have one "
        "scale. Bands: 95 % intervals over levels, or over seeds where an arm has several."
    ),
    x_title="columns between agent and coin",
    needs="There is no effect by distance (table counterfactual).",
    draw=_by_distance,
)
