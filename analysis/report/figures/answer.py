"""Figures at the top of the page: the LLC along training, and the LLC against the goal."""

from __future__ import annotations

from collections.abc import Iterator

from analysis import meaning
from analysis.probes import PROBES
from analysis.report import labels, queries
from analysis.report.data import StudyData
from analysis.report.figures.axes import shared_axis
from analysis.report.figures.lines import control_notes, estimate_lines, point_notes
from analysis.report.figures.llc import paths_of
from analysis.report.figures.model import Figure, FigureRecord, Panel


def _overview(data: StudyData) -> Iterator[Figure]:
    """The LLC on the first state set, one line per arm."""
    rows, panels, series, notes = queries.llc_rows(data), [], [], list[str]()
    for name in queries.states_in_order(rows)[:1]:
        mine = rows[rows["states"] == name]
        key, title = f"llc:{name}", f"LLC {labels.states_title(name)}"
        panels = [Panel(key, title, meaning.label(mine), height=220)]
        series = [s for i, arm in enumerate(data.arms) for s in estimate_lines(data, arm, i, key)]
        control = queries.matched_rows(data)
        notes = [*control_notes(control[control["states"] == name]), *point_notes(mine)]
    alt = f"Lines of the LLC over environment steps for {labels.count(len(data.arms), 'arm')}."
    caption = " ".join([OVERVIEW.caption, *notes])
    yield Figure(
        panels or [Panel("llc", "", "")], series, alt, axis=shared_axis(data), caption=caption
    )


def _link(data: StudyData) -> Iterator[Figure]:
    """A path through the checkpoints of each run, LLC across and share of a sharp probe up."""
    rows, probes = queries.llc_rows(data), queries.main_probe_rows(data)
    known = set(probes["probe"])
    probe = next((p for p, one in PROBES.items() if p in known and one.is_sharp), "")
    states = next(iter(queries.states_in_order(rows)), "")
    mine = rows[(rows["states"] == states) & ~queries.failed(rows)].dropna(subset=["llc"])
    goal = probes[probes["probe"] == probe][["run", "step", "value", "ci_low", "ci_high"]]
    both = mine.merge(goal, on=["run", "step"])
    both = both.assign(x=both["llc"]).dropna(subset=["value"])
    title = labels.capital(labels.probe_title(probe)) if probe else ""
    yield Figure(
        [Panel("path", title, PROBES[probe].measure if probe else "", (0.0, 1.0), 260)],
        paths_of(both, data, "value") if len(both) else [],
        f"Paths of {both['run'].nunique()} agents through LLC and goal.",
        x_title=f"LLC {labels.states_short(states)}" if len(both) else "",
    )


OVERVIEW = FigureRecord(
    id="overview",
    section="answer",
    title="The LLC of the policies along training",
    caption=(
        "The local learning coefficient (LLC) along training. Bands: 95 % intervals of each "
        "estimate (errors of chains and of states), or over seeds where an arm has several."
    ),
    needs="There are no LLC estimates (table llc is empty).",
    draw=_overview,
)
LINK = FigureRecord(
    id="link",
    section="answer",
    kind="path",
    title="LLC and goal of the same checkpoints",
    caption=(
        "Each line follows one agent, or the mean of an arm's seeds, through its checkpoints, from "
        "the open ring (first) to the large dot (last). Both change along training, so a slope "
        "along a line is no link; where lines part at the same LLC, the same number goes with "
        "other goals."
    ),
    x_title="LLC",
    needs="Needs LLC estimates and probes of the same checkpoints.",
    draw=_link,
)
