"""Figures of what moves with what over posterior draws: states, parts of the weights, goals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from analysis.report.data import StudyData
from analysis.report.figures.axes import shared_axis
from analysis.report.figures.lines import baseline_line, run_lines, with_bands
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series
from analysis.report.labels import states_short
from analysis.report.queries import (
    contribution_rows,
    influence_rows,
    states_in_order,
    susceptibility_rows,
)


def _contributions(data: StudyData) -> Iterator[Figure]:
    """Per state set and kind of state a panel, a line for each arm; no figure without rows."""
    rows = contribution_rows(data)
    rows = with_bands(rows, dof=rows["dof"].astype(float))
    panels: list[Panel] = []
    series: list[Series] = []
    for states in states_in_order(rows):
        mine = rows[rows["states"] == states]
        for kind, part in mine.groupby("of_states", sort=True):
            key = f"{states}:{kind}"
            title = f"{kind} ({states_short(states)}, {part['share'].mean():.0%} of them)"
            panels.append(Panel(key, title, "nβ E[l − l(w*)] per state", height=110))
            series += [
                line for i, arm in enumerate(data.arms) for line in run_lines(part, arm, i, key)
            ]
    if series:
        seen = [v for s in series for v in (*s.low, *s.high, *s.y) if v is not None]
        span = (1.06 * min(seen, default=0.0), 1.06 * max(seen, default=1.0))
        span = (min(span[0], 0.0), max(span[1], 0.0))
        panels = [replace(panel, range=span) for panel in panels]
        alt = f"Lines of what {len(panels)} kinds of states bring to the LLC, over steps."
        yield Figure(panels, series, alt, axis=shared_axis(data))


def _influences(data: StudyData) -> Iterator[Figure]:
    """Per probe and kind of training state a panel, a line for each arm; none without rows."""
    rows = influence_rows(data)
    dof = rows["dof"].astype(float).fillna(math.inf)
    rows = with_bands(rows, "correlation", "correlation_stderr", bounds=(-1.0, 1.0), dof=dof)
    panels: list[Panel] = []
    series: list[Series] = []
    for (states, probe, kind), part in rows.groupby(["states", "probe", "of_states"], sort=True):
        key = f"{states}:{probe}:{kind}"
        title = f"{kind}, on {probe} ({states_short(str(states))})"
        lines = [line for i, arm in enumerate(data.arms) for line in run_lines(part, arm, i, key)]
        steps = [x for line in lines for x in line.x]
        panels.append(Panel(key, title, "correlation of mean losses", (-1.0, 1.0), height=110))
        series += [*lines, baseline_line(0.0, key, "none", [min(steps), max(steps)])]
    if series:
        alt = f"Lines of the influence of {len(panels)} kinds of training states, over steps."
        yield Figure(panels, series, alt, axis=shared_axis(data))


def _susceptibilities(data: StudyData) -> Iterator[Figure]:
    """Per perturbation, observable and component a panel, a line for each arm; none without."""
    rows = susceptibility_rows(data)
    seeds = rows.dropna(subset=["value"]).groupby(
        ["arm", "observable", "perturb", "component", "step"]
    )
    many = int(rows["value"].notna().sum()) + int(seeds.size().gt(1).sum())  # runs and their means
    dof = rows["dof"].astype(float).fillna(math.inf)
    rows = with_bands(rows, dof=dof, together=max(many, 1))
    panels: list[Panel] = []
    series: list[Series] = []
    for (seen, tilt, part), mine in rows.groupby(["observable", "perturb", "component"], sort=True):
        key = f"{seen}:{tilt}:{part}"
        lines = [
            line
            for i, arm in enumerate(data.arms)
            for line in run_lines(mine, arm, i, key, together=max(many, 1))
        ]
        steps = [x for line in lines for x in line.x]
        label = "per unit of share" if seen != "loss" else "nats per unit of share"
        panels.append(Panel(key, f"{part}: {seen} to {tilt}", label, height=100))
        series += [*lines, baseline_line(0.0, key, "none", [min(steps), max(steps)])]
    if series:
        alt = f"Lines of {len(panels)} susceptibilities over environment steps."
        caption = SUSCEPTIBILITIES.caption.replace("all values", f"all {many} values")
        yield Figure(panels, series, alt, axis=shared_axis(data), caption=caption)


SUSCEPTIBILITIES = FigureRecord(
    id="susceptibility",
    section="parts",
    title="What components of the weights answer to other states",
    caption=(
        "The change of an observable (the loss on the states, or the goal score) when a small "
        "share of the data is moved to other states, per unit of share, over the posterior of one "
        "component's weights alone. Bands: intervals of the chains that hold for all values of the "
        "figure together with 95 % (Bonferroni, so whatever their dependence), those of means over "
        "seeds among them; one that holds zero tells nothing. Checkpoints whose estimate is not "
        "sound have no value, but a cross at the foot."
    ),
    needs="No susceptibilities were asked for; `rl-slt susceptibility RUN` finds them.",
    draw=_susceptibilities,
)
INFLUENCES = FigureRecord(
    id="influence",
    section="parts",
    title="Which kinds of training states hold what the policy does on a probe",
    caption=(
        "Correlation, over draws of the posterior, of the mean loss of a kind of training state "
        "with that of the probe's states. Where it is positive, more weight on these training "
        "states lowers the loss on the probe: they hold the behavior there (the influence is minus "
        "the covariance). Bands: 95 % intervals of the chains; one that holds zero tells nothing."
    ),
    needs="No influences were asked for; `rl-slt influence RUN --step N` finds them.",
    draw=_influences,
)
CONTRIBUTIONS = FigureRecord(
    id="contributions",
    section="parts",
    title="What kinds of states bring to the LLC",
    caption=(
        "The LLC is the mean over states of nβ E[l − l(w*)], l the loss of one state: these are "
        "its means over kinds of states, all on one scale. Where it is high the posterior moves "
        "the policy most. Bands: 95 % intervals of the chains, from the few draws that traces keep."
    ),
    needs="No traces of the estimates shown were kept; `rl-slt llc RUN --traces` keeps them.",
    draw=_contributions,
)
