"""Figures: for each arm, everything that was measured over environment steps, axes shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.goal import baseline_of
from analysis.report.figures.lines import baseline_line, llc_lines, probe_lines, return_lines
from analysis.report.figures.marks import transition_marks
from analysis.report.figures.model import Figure, Panel, Series
from analysis.report.labels import (
    LLC_UNIT,
    SCORE_WORDS,
    capital,
    metric_title,
    probe_title,
    states_short,
)
from analysis.report.queries import (
    SCORES,
    baseline_rows,
    is_shared,
    probes_in_order,
    score_rows,
    states_in_order,
)
from analysis.report.seed_means import ANY


def timeline_figures(
    data: StudyData, llc: pd.DataFrame, probes: pd.DataFrame, axis: dict[str, Any]
) -> list[Figure]:
    """One figure per arm; panels, their order and their ranges are the same in all of them."""
    scores, base = score_rows(data), baseline_rows(data)
    panels = _panels(data, llc, probes, scores)
    return [
        _arm_figure(data, arm, i, panels, (llc, probes, scores, base), axis)
        for i, arm in enumerate(data.arms)
    ]


def _panels(
    data: StudyData, llc: pd.DataFrame, probes: pd.DataFrame, scores: pd.DataFrame
) -> list[Panel]:
    """Training return, LLC per state set, a panel per probe, a panel per goal score."""
    returns = _range_of_returns(data)
    panels = [Panel("return", "Training return", "reward per episode", returns, source="return")]
    for name in states_in_order(llc) if len(llc) else []:
        mine = llc[llc["states"] == name]
        span, height = _span(mine["llc"], mine["llc_stderr"]), 130 if is_shared(name) else 110
        source = f"llc:{mine['loss'].iloc[0]}:{name}"
        title = f"LLC {states_short(name)}"
        panels.append(Panel(f"llc:{name}", title, LLC_UNIT, span, height, source=source))
    if len(llc) == 0:
        panels.append(Panel("llc", "LLC", LLC_UNIT, missing="no LLC estimates"))
    for name in probes_in_order(probes) if len(probes) else []:
        metric = str(probes[probes["probe"] == name]["metric"].iloc[0])
        title, unit = capital(probe_title(name)), f"{metric_title(metric)}, share"
        key, source = f"probe:{name}", f"probe:{name}:{metric}"
        panels.append(Panel(key, title, unit, (0.0, 1.0), 76, source=source))
    if len(probes) == 0:
        panels.append(Panel("probe", "Probes", "share", missing="no probe results"))
    for metric in [m for m in SCORES if m in set(scores["metric"])]:
        title, unit, span = SCORE_WORDS[metric]
        source = f"probe:suite:{metric}"
        panels.append(Panel(f"score:{metric}", title, unit, span, 76, source=source))
    return panels


def _range_of_returns(data: StudyData) -> tuple[float, float]:
    values = [float(v) for run in data.runs for v in run.progress.get("ret", [])]
    return (min([0.0, *values]), max([10.0, *values]))


def _span(values: pd.Series, stderr: pd.Series) -> tuple[float, float] | None:
    wide = stderr.fillna(0) * 2
    if values.dropna().empty:
        return None
    low, high = min(0.0, float((values - wide).min())), float((values + wide).max())
    return low, high + 0.05 * max(high - low, 1.0)


def _arm_figure(
    data: StudyData,
    arm: str,
    colour: int,
    panels: list[Panel],
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame],
    axis: dict[str, Any],
) -> Figure:
    llc, probes, scores, base = tables
    curves = {run.name: run.progress for run in data.runs_of(arm) if len(run.progress)}
    series = return_lines(curves, arm, colour)
    for panel in panels:
        kind, _, name = panel.key.partition(":")
        if kind == "llc" and name:
            series += llc_lines(llc[llc["states"] == name], arm, colour, panel.key, "solid")
        elif kind == "probe" and name:
            series += _probe_series(probes, base, arm, colour, panel.key, name)
        elif kind == "score":
            mine = scores[scores["metric"] == name]
            series += probe_lines(mine, arm, colour, panel.key, panel.range or ANY)
    names = {run.name for run in data.runs_of(arm)}
    moves = data.table("transitions")
    marks = transition_marks(moves[moves["run"].isin(names)], panels)
    return Figure(
        id=f"timeline-{colour}",
        kind="steps",
        title=f"Arm {arm}",
        caption="",
        alt=_alt(arm, series, len(marks)),
        x_title="environment steps (log scale)",
        panels=_with_reasons(panels, series),
        series=series,
        marks=marks,
        axis=axis,
        missing="" if series else f"Arm {arm} has no training curve, estimate or probe result yet.",
        arm=arm,
    )


def _probe_series(
    probes: pd.DataFrame, base: pd.DataFrame, arm: str, colour: int, key: str, name: str
) -> list[Series]:
    mine = probes[probes["probe"] == name]
    series = probe_lines(mine, arm, colour, key)
    blind = baseline_of(base[base["arm"] == arm], name, str(mine["metric"].iloc[0]))
    if series and len(blind):
        steps = sorted({step for s in series for step in s.x})
        ends = [steps[0], steps[-1]]
        series.append(baseline_line(float(blind["value"].iloc[0]), key, "coin-blind script", ends))
    return series


def _with_reasons(panels: list[Panel], series: list[Series]) -> list[Panel]:
    drawn = {s.panel for s in series}
    return [
        p if p.key in drawn or p.missing else replace(p, missing="no data in this arm")
        for p in panels
    ]


def _alt(arm: str, series: list[Series], marks: int) -> str:
    panels = len({s.panel for s in series})
    return (
        f"{panels} panels over environment steps for arm {arm}: training return, LLC and probe "
        f"outcomes, with {marks} transitions marked. The same numbers are in the table below."
    )
