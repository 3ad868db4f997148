"""Fills the page's template; everything the page needs is inside it."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.report import labels, reproduce
from analysis.report.clips import fields, scenes
from analysis.report.comparisons import comparisons
from analysis.report.data import StudyData
from analysis.report.figures import all_figures
from analysis.report.headline import question
from analysis.report.hypotheses import hypothesis_view
from analysis.report.queries import probes_in_order
from analysis.report.results import path_result, prediction_result
from analysis.report.summary import build_summary, llc_settings, llc_title
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
    filmed, drawn = scenes(data, notes), fields(data, notes)
    summary = build_summary(data)
    compared, unreadable = comparisons(data)
    figures = all_figures(data)
    probes = list(dict.fromkeys(p for arm in summary["arms"] for p in arm["probes"]))
    template = _environment().get_template("page.html.jinja")
    return template.render(
        data=data,
        summary=summary,
        question=question(data),
        figures=figures,
        scenes=filmed,
        fields=drawn,
        comparisons=compared,
        missing=[*data.missing, *notes, *unreadable],
        probes=probes or probes_in_order(data.table("episodes")),
        states=list(
            dict.fromkeys(
                (k, s) for k in ("llc", "matched") for arm in summary["arms"] for s in arm[k]
            )
        ),
        llc_title=llc_title,
        settings=llc_settings(summary["arms"]),
        transitions=transition_table(data),
        associations=association_tables(data),
        hypotheses=hypothesis_view(data),
        predictions=prediction_result(data),
        paths=path_result(data),
        labels=labels,
        words=data.words,
        make=reproduce,
        style=Markup("\n".join(_asset(name) for name in _STYLES)),  # our own files, no user text
        plotly=Markup(_plotly()) if any(not f.missing for f in figures) else "",
        script=Markup("\n".join(_asset(name) for name in _SCRIPTS)),
        as_dict=asdict,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analysis.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # For JSON inside a script element; `tojson` escapes what could end the element.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


@cache
def _asset(name: str) -> str:
    return (files("analysis.report.page") / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # slow to import; only a page with figures needs it

    return str(get_plotlyjs())
