"""All figures of a report, in the order in which they appear."""

from __future__ import annotations

from itertools import chain

from analysis.report.data import StudyData
from analysis.report.figures.coin import coin_figures
from analysis.report.figures.complexity import complexity_figure
from analysis.report.figures.early import early_figure
from analysis.report.figures.goal import goal_figure
from analysis.report.figures.model import Figure
from analysis.report.figures.staircase import staircase_figure
from analysis.report.figures.steps import step_axis
from analysis.report.figures.timeline import timeline_figures
from analysis.report.queries import coin_rows, llc_rows, main_probe_rows


def all_figures(data: StudyData) -> list[Figure]:
    """All of them, with one axis of environment steps."""
    llc, probes = llc_rows(data), main_probe_rows(data)
    curves = [run.progress["step"] for run in data.runs if len(run.progress)]
    tables = (llc, probes, coin_rows(data))
    steps = [float(s) for s in chain.from_iterable(t["step"] for t in tables if len(t))]
    first = min((s for s in steps if s > 0), default=0.0)
    steps += [float(s) for curve in curves for s in curve if s >= first]
    axis = step_axis(steps)
    return [
        goal_figure(data, probes),
        *coin_figures(data, axis),
        complexity_figure(data, llc, axis),
        *timeline_figures(data, llc, probes, axis),
        staircase_figure(data, llc),
        early_figure(data, axis),
    ]
