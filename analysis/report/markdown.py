"""A summary as Markdown, for terminals and pull requests."""

from __future__ import annotations

import re
from typing import Any

from analysis.report.labels import probe_title, share, states_title


def to_markdown(summary: dict[str, Any]) -> str:
    """The summary of `build_summary` as a Markdown page."""
    lines = [f"# {_cell(summary['name'] or 'study')}", ""]
    if summary["question"]:
        lines += [_cell(summary["question"]), ""]
    lines += [f"- {_cell(line)}" for line in summary["statements"]] or ["- No results yet."]
    lines += ["", "What this cannot show:", ""]
    lines += [f"- {_cell(line)}" for line in summary["limits"]]
    if summary["arms"]:
        lines += ["", "## Last checkpoint", "", *_table(summary["arms"])]
    if summary["warnings"]:
        lines += ["", "## Estimates that are not sound", ""]
        lines += [
            _cell(f"- {w['run']}, step {w['step']}, {w['states']}: {w['status']}. {w['message']}")
            for w in summary["warnings"]
        ]
    if summary["missing"]:
        lines += ["", "## Missing", "", *(f"- {_cell(line)}" for line in summary["missing"])]
    return "\n".join(lines) + "\n"


def _table(arms: list[dict[str, Any]]) -> list[str]:
    probes = list(dict.fromkeys(p for arm in arms for p in arm["probes"]))
    states = list(dict.fromkeys(s for arm in arms for s in arm["llc"]))
    head = ["quantity", *(arm["name"] for arm in arms)]
    rows = [["training coin", *(arm["coin"] or "–" for arm in arms)]]
    rows += [["runs", *(str(len(arm["runs"])) for arm in arms)]]
    rows += [[f"probe: {probe_title(p)}", *(_score(a["probes"].get(p), 2) for a in arms)]
             for p in probes]  # fmt: skip
    rows += [[f"LLC {states_title(s)}", *(_score(a["llc"].get(s), 1) for a in arms)]
             for s in states]  # fmt: skip
    bars = ["---"] * len(head)
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in (head, bars, *rows)]


def _score(score: dict[str, Any] | None, digits: int) -> str:
    if score is None or score["value"] is None:
        return "–"
    value = share(score["value"]) if digits == 2 else f"{score['value']:.{digits}f}"
    if score["low"] is None:
        return value
    return f"{value} [{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


def _cell(text: object) -> str:
    """One line without anything that Markdown or HTML would act on."""
    plain = re.sub(r"\s+", " ", str(text)).strip()
    return re.sub(r"([|<>`\\])", r"\\\1", plain).replace("](", "]\\(")
