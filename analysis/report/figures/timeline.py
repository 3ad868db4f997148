"""Figures: for each arm, everything that was measured over environment steps, axes shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis import meaning
from analysis.probes import SCORES
from analysis.report import labels, queries
from analysis.report.data import StudyData
from analysis.report.figures.axes import shared_axis
from analysis.report.figures.lines import (
    POLICY,
    baseline_line,
    estimate_lines,
    llc_notes,
    policy_panels,
    return_lines,
    run_lines,
)
from analysis.report.figures.model import Figure, FigureRecord, Mark, Panel, Series, numbers
from analysis.report.seed_means import ANY, SHARE
from analysis.series import interval_stderr, is_shared


def _draw(data: StudyData) -> Iterator[Figure]:
    """One figure per arm; panels, their order and their ranges are the same in all of them."""
    panels = _panels(data)
    for color, arm in enumerate(data.arms):
        series = [s for panel in panels for s in _series(data, arm, color, panel)]
        drawn = {s.panel for s in series}
        shown = [
            p if p.key in drawn or p.missing else replace(p, missing="no data in this arm")
            for p in panels
        ]
        marks = _transitions(data, arm, panels)
        alt = (
            f"{len(drawn)} panels over environment steps for arm {arm}: training return, LLC and "
            f"probe outcomes, with {len(marks)} transitions marked. The same numbers are in the "
            "table below."
        )
        yield Figure(
            shown, series, alt, marks=marks, axis=shared_axis(data), id=f"-{color}",
            title=f"Arm {arm}", arm=arm, caption=" ".join(llc_notes(data)),
            missing=f"Arm {arm} has no training curve, estimate or probe result yet.",
        )  # fmt: skip


def _panels(data: StudyData) -> list[Panel]:
    """Training return; per state set LLC and sharpness of the policy; each probe; each score."""
    llc, control = queries.llc_rows(data), queries.matched_rows(data)
    probes = queries.main_probe_rows(data)
    scores = queries.score_rows(data)
    returns = [float(v) for run in data.runs for v in run.progress.get("ret", [])]
    span: tuple[float, float] | None = (min([0.0, *returns]), max([data.words.most, *returns]))
    panels = [Panel("return", "Training return", "reward per episode", span, source="return")]
    for name in queries.states_in_order(llc):
        mine = llc[llc["states"] == name]
        both = pd.concat([mine, control[control["states"] == name]])
        span = _span(both["llc"], interval_stderr(both))
        height = 130 if is_shared(name) else 110
        source = f"llc:{mine['loss'].iloc[0]}:{name}"
        title = f"LLC {labels.states_short(name)}"
        label = meaning.label(mine)
        panels.append(Panel(f"llc:{name}", title, label, span, height, source=source))
        panels += policy_panels(mine, name, height=48)
    if llc.empty:
        panels.append(Panel("llc", "LLC", "", missing="no LLC estimates"))
    for name in queries.probes_in_order(probes):
        metric = queries.metric_of(probes, name)
        title = labels.capital(labels.probe_title(name))
        label = labels.metric_title(metric) + ", share" * queries.gives_share(name)
        key, source = f"probe:{name}", f"probe:{name}:{metric}"
        panels.append(Panel(key, title, label, (0.0, 1.0), 76, source=source))
    if probes.empty:
        panels.append(Panel("probe", "Probes", "share", missing="no probe results"))
    for name, score in SCORES.items():
        if name in set(scores["metric"]):
            key, source = f"score:{name}", f"probe:suite:{name}"
            panels.append(
                Panel(key, score.title, f"mean, {score.y_label}", score.range, 76, source=source)
            )
    return panels


def _span(values: pd.Series, stderr: pd.Series) -> tuple[float, float] | None:
    wide = stderr.fillna(0) * 2
    if values.dropna().empty:
        return None
    low, high = min(0.0, float((values - wide).min())), float((values + wide).max())
    return low, high + 0.05 * max(high - low, 1.0)


def _series(data: StudyData, arm: str, color: int, panel: Panel) -> list[Series]:
    """What an arm has of a panel."""
    kind, _, name = panel.key.partition(":")
    if kind == "return":
        curves = {run.name: run.progress for run in data.runs_of(arm)}
        return return_lines(curves, arm, color)
    if name and kind in ("llc", *(column for column, *_ in POLICY)):
        return estimate_lines(data, arm, color, panel.key)
    if kind == "score":
        scores = queries.score_rows(data)
        mine = scores[scores["metric"] == name]
        return run_lines(mine, arm, color, panel.key, panel.range or ANY)
    if not name:
        return []
    probes, base = queries.main_probe_rows(data), queries.baseline_rows(data)
    series = run_lines(probes[probes["probe"] == name], arm, color, panel.key, SHARE)
    blind = queries.baseline_of(base[base["arm"] == arm], name, queries.metric_of(probes, name))
    if series and len(blind):
        steps = [step for s in series for step in s.x]
        value, ends = float(blind["value"].iloc[0]), [min(steps), max(steps)]
        series.append(baseline_line(value, panel.key, "coin-blind script", ends))
    return series


def _transitions(data: StudyData, arm: str, panels: list[Panel]) -> list[Mark]:
    """The arm's transitions, each in the panel of its series; others have no panel."""
    panel_of = {panel.source: panel.key for panel in panels if panel.source}
    rows = data.table("transitions").dropna(subset=["step"])
    rows = rows[rows["kind"] != "trend"]
    rows = rows[rows["run"].isin([run.name for run in data.runs_of(arm)])]
    marks = []
    for row in rows.to_dict("records"):
        low, high = numbers([row["step_low"], row["step_high"]])
        kind, status, series, run = (
            labels.text(row.get(name, "")) for name in ("kind", "status", "series", "run")
        )
        marks.append(
            Mark(panel_of.get(series, ""), float(row["step"]), low, high, kind, status, series, run)
        )
    return marks


TIMELINES = FigureRecord(
    id="timeline",
    section="arms",
    title="Arm",
    caption="",
    needs="",
    draw=_draw,
)
