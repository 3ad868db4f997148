"""Fills the page's template; everything the page needs is inside it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.report import labels, reproduce
from analysis.report.clips import scenes
from analysis.report.comparisons import comparisons
from analysis.report.data import StudyData
from analysis.report.figures import all_figures
from analysis.report.queries import probes_in_order
from analysis.report.results import energy_result, path_result, prediction_result
from analysis.report.summary import build_summary
from analysis.report.test_tables import association_tables, transition_table

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
    compared = comparisons(data)
    figures = all_figures(data)
    probes = list(dict.fromkeys(p for arm in summary["arms"] for p in arm["probes"]))
    template = _environment().get_template("page.html.jinja")
    return template.render(
        data=data,
        summary=summary,
        figures=figures,
        scenes=filmed,
        comparisons=compared.shown,
        missing=[*data.missing, *notes, *compared.notes],
        probes=probes or probes_in_order(data.table("episodes")),
        states=list(dict.fromkeys(s for arm in summary["arms"] for s in arm["llc"])),
        transitions=transition_table(data),
        associations=association_tables(data),
        predictions=prediction_result(data),
        paths=path_result(data),
        energy=energy_result(data),
        icon=icon,
        labels=labels,
        make=reproduce,
        style=Markup("\n".join(_asset(name) for name in _STYLES)),  # our own files, no user text
        plotly=Markup(_plotly()) if any(not f.missing for f in figures) else "",
        script=Markup("\n".join(_asset(name) for name in _SCRIPTS)),
        as_json=as_json,
    )


def as_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: `<`, `>`, `&` and line separators escaped."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for bad, good in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(bad, good)
    return Markup(text)


def icon(probe: str) -> Markup:
    """An SVG drawing of a known probe as a strip of level; nothing for an unknown one.

    A square with eyes is the agent with an arrow to its right, a disc the coin, the wall on the
    right the end of the level.
    """
    if probe not in labels.PROBES:
        return Markup("")
    start, coins = labels.PROBES[probe].icon
    x = 6 + start * 8
    discs = "".join(f'<circle class="coin" cx="{6 + c * 8}" cy="21.5" r="4.6"/>' for c in coins)
    return Markup(
        '<svg class="icon" viewBox="0 0 180 34" aria-hidden="true" focusable="false">'
        '<path class="ground" d="M0 27H180V34H0Z"/><path class="wall" d="M170 2h10v25h-10z"/>'
        f'<rect class="agent" x="{x}" y="15" width="9" height="12" rx="2"/>'
        f'<path class="look" d="M{x + 13} 21h9m-3-3 3 3-3 3"/>{discs}</svg>'
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("analysis.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    return (files("analysis.report.page") / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # slow to import; only a page with figures needs it

    return str(get_plotlyjs())
