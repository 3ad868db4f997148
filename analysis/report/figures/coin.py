"""Figures: what the coin's presence alone changes in the policy, and what can be read of it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.goal import last_rows
from analysis.report.figures.lines import baseline_line, probe_lines
from analysis.report.figures.model import Figure, Panel, Series
from analysis.report.queries import coin_rows, distance_rows
from analysis.report.seed_means import ANY, Bounds

_TOWARD: Bounds = (-2.0, 2.0)


class _Curve(NamedTuple):
    """One panel over training, and the sentence that explains it."""

    probe: str
    metric: str
    title: str
    unit: str
    bounds: Bounds
    least: float  # half of the smallest range drawn, so that noise does not look like an effect
    says: str


_CURVES = (
    _Curve("counterfactual", "toward:left", "Moving towards a coin on the left",
           "change of probability, −2 to 2", _TOWARD, 0.1,
           "Moving: change of P(move left) less P(move right) when a coin is put to the left of "
           "the agent and nothing else changes."),
    _Curve("counterfactual", "value_change:left", "Worth of a coin on the left",
           "change of value, in rewards of training", ANY, 0.1,
           "Worth: change of the value that the network expects."),
    _Curve("readout", "gain:policy_head", "Coin's side in the policy head",
           "accuracy above untrained", (-1.0, 1.0), 0.1,
           "Policy head: how much better than in an untrained network the coin's side can be read "
           "from it; intervals over folds."),
)  # fmt: skip
_SIDES = {
    "left": "Coin to the left", "right": "Coin to the right", "end": "Coin at the level's end",
}  # fmt: skip


def coin_figures(data: StudyData, axis: dict[str, Any]) -> list[Figure]:
    """Effect of the coin over training, and by its distance at the last checkpoint."""
    return [_over_training(data, axis), _by_distance(data)]


def _over_training(data: StudyData, axis: dict[str, Any]) -> Figure:
    rows = coin_rows(data)
    panels, series, says = [], [], []
    for curve in _CURVES:
        mine = rows[(rows["probe"] == curve.probe) & (rows["metric"] == curve.metric)]
        key = f"{curve.probe}:{curve.metric}"
        lines = [
            s
            for i, arm in enumerate(data.arms)
            for s in probe_lines(mine, arm, i, key, curve.bounds)
        ]
        if lines:
            says.append(curve.says)
            panels.append(Panel(key, curve.title, curve.unit, _span(lines, curve.least), 130))
            series += _with_zero(lines, key)
        elif curve.probe == "readout":
            says.append("The readout of the policy head is missing: it needs states of 20 levels.")
    return Figure(
        id="coin",
        kind="steps",
        title="What the sight of a coin changes, along training",
        caption=" ".join(says)
        + (
            " Dashed: zero, as if the coin were not there. Bands: 95 % intervals over states of "
            "held-out levels, or over seeds where an arm has several."
        ),
        alt="Lines over environment steps. " + _told(series),
        x_title="environment steps (log scale)",
        panels=panels,
        series=series,
        axis=axis,
        missing="" if series else "There are no counterfactual probes (table probes).",
    )


def _by_distance(data: StudyData) -> Figure:
    rows = distance_rows(data)
    rows = last_rows(rows[rows["metric"] == "toward"])
    lines = {side: _of_side(rows[rows["side"] == side], side, data) for side in _SIDES}
    drawn = {side: own for side, own in lines.items() if own}
    span = _span([s for own in drawn.values() for s in own], 0.1)
    unit = "change of P(towards) − P(away)"
    panels = [Panel(side, _SIDES[side], unit, span, 110) for side in drawn]
    series = [s for side, own in drawn.items() for s in _with_zero(own, side)]
    return Figure(
        id="coin-distance",
        kind="steps",
        title="The same at the last checkpoint, by side and distance of the coin",
        caption=(
            "Above zero the coin draws the agent, below zero it repels it. All panels have one "
            "scale. Bands: 95 % intervals over levels, or over seeds where an arm has several."
        ),
        alt="Lines over the distance of the coin in columns. " + _told(series),
        x_title="columns between agent and coin",
        panels=panels,
        series=series,
        axis=_distance_axis(rows["distance"]),
        missing="" if series else "There is no effect by distance (table counterfactual).",
    )


def _of_side(rows: pd.DataFrame, side: str, data: StudyData) -> list[Series]:
    across = rows.assign(step=rows["distance"])  # lines are drawn over what is called step
    return [
        s for i, arm in enumerate(data.arms) for s in probe_lines(across, arm, i, side, _TOWARD)
    ]


def _with_zero(lines: list[Series], panel: str) -> list[Series]:
    """The lines and one at zero, as long as they are."""
    places = sorted({x for line in lines for x in line.x})
    ends = [places[0], places[-1]] if places else []
    return [*lines, baseline_line(0.0, panel, "no effect", ends)]


def _span(lines: list[Series], least: float) -> tuple[float, float]:
    """The range of all that is drawn, zero and `least` around it."""
    ends = [v for s in lines for part in (s.y, s.low, s.high) for v in part if v is not None]
    low, high = min([-least, *ends]), max([least, *ends])
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _distance_axis(distances: pd.Series) -> dict[str, Any]:
    known = sorted({int(d) for d in distances}) or [0, 1]
    return {
        "linear": True, "word": "distance", "zero": 0.0, "cut": None,
        "range": [known[0] - 0.25, known[-1] + 0.25],
        "ticks": [{"at": d, "label": str(d)} for d in range(known[0], known[-1] + 1)],
    }  # fmt: skip


def _told(series: list[Series]) -> str:
    """The last value of each line, for those who cannot see it."""
    pooled = {(s.panel, s.name) for s in series if s.role == "mean"}
    shown = [
        s for s in series
        if s.role == "mean" or (s.role == "seed" and (s.panel, s.name) not in pooled)
    ]  # fmt: skip
    last = [(s, next((v for v in reversed(s.y) if v is not None), math.nan)) for s in shown]
    return "Last values: " + "; ".join(f"{s.name} {s.panel} {v:.2f}" for s, v in last[:9]) + "."
