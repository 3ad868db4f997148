"""Fills the page's template; everything the page needs is inside it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.report import labels as words
from analysis.report import reproduce
from analysis.report.clips import scenes
from analysis.report.comparisons import comparisons
from analysis.report.data import StudyData
from analysis.report.figures import all_figures
from analysis.report.figures.slices import slice_figures
from analysis.report.icons import sketch
from analysis.report.queries import probes_in_order
from analysis.report.results import energy_view, path_view, prediction_view
from analysis.report.summary import build_summary
from analysis.report.test_tables import association_view, transition_view

_SCRIPTS = ("base.js", "axes.js", "steps.js", "points.js", "main.js")
_STYLES = ("style.css", "parts.css")


def build_report(data: StudyData) -> str:
    """The whole report as one HTML page that needs no other file and no network.

    Args:
        data: what `load_study` read; empty tables give a page that says what is missing.

    Returns:
        The page's text. Figures' numbers stand in `<script type="application/json"
        id="data-ID">`, exactly as drawn and downloaded.
    """
    notes: list[str] = []
    filmed = scenes(data, notes)
    summary = build_summary(data)
    sides = comparisons(data, notes)
    figures = {figure.id: figure for figure in [*all_figures(data), *slice_figures(sides)]}
    probes = list(dict.fromkeys(p for arm in summary["arms"] for p in arm["probes"]))
    template = _environment().get_template("page.html.jinja")
    return template.render(
        data=data,
        summary=summary,
        figures=figures,
        timelines=[f for f in figures.values() if f.id.startswith("timeline")],
        scenes=filmed,
        sides=sides,
        missing=[*data.missing, *notes],
        probes=probes or probes_in_order(data.table("episodes")),
        states=list(dict.fromkeys(s for arm in summary["arms"] for s in arm["llc"])),
        transitions=transition_view(data),
        associations=association_view(data),
        predictions=prediction_view(data),
        paths=path_view(data),
        energy=energy_view(data),
        sketch=sketch,
        words=words,
        make=reproduce,
        style=Markup("\n".join(_asset(name) for name in _STYLES)),  # our own files, no user text
        plotly=Markup(_plotly()) if any(not f.missing for f in figures.values()) else "",
        script=Markup("\n".join(_asset(name) for name in _SCRIPTS)),
        as_json=as_json,
    )


def as_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: `<`, `>`, `&` and line separators escaped."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for bad, good in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(bad, good)
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analysis.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["interval"] = _interval
    return environment


def _interval(score: dict[str, Any] | None, digits: int) -> str:
    if score is None or score["low"] is None or score["high"] is None:
        return ""
    return f"[{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


@cache
def _asset(name: str) -> str:
    return (files("analysis.report.page") / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # slow to import; only a page with figures needs it

    return str(get_plotlyjs())
