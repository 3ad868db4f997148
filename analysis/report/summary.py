"""The summary of a report: numbers at the last checkpoint and the sentences they allow."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import pandas as pd

from analysis import meaning
from analysis.report import labels, queries
from analysis.report.course import course_sentences
from analysis.report.data import StudyData
from analysis.report.differences import llc_difference, probe_difference
from analysis.report.figures.lines import POLICY
from analysis.report.figures.model import numbers
from analysis.report.headline import headline
from analysis.report.seed_means import ANY, SHARE, Z95, Bounds, over_seeds
from analysis.report.sentences import limits, summary_sentences
from analysis.series import interval_stderr

_Arm = dict[str, Any]
_EXAMPLES = 3  # estimates that are named for a reason


@queries.once
def build_summary(data: StudyData) -> dict[str, Any]:
    """Numbers per arm, comparisons, and plain sentences, all in JSON's own types.

    Returns:
        name, question, goal (what a placement puts: a coin), arms (a list, each with probes, llc
        and baseline at the last checkpoint), comparisons (of the first arm with each other one,
        with intervals as in `differences`; of LLCs only where they were made alike), headline
        (goals, LLC, link and verdict, a sentence each), sentences (what else came out), course (of
        the goal along training, a sentence per arm), limits (what the data cannot show), warnings
        (each estimate that is not sound), reasons (of these, as `_reasons`), missing and timings.
    """
    arms = [_arm(data, arm) for arm in data.arms]
    columns = ["run", "step", "states", "loss", "status", "message"]
    bad = queries.bad_rows(data)[columns].astype(object)
    warnings = bad.fillna({"status": "unknown"}).fillna("").to_dict("records")
    unequal = queries.no_common_scale(data)
    pairs = [one for other in arms[1:] for one in _comparisons(data, arms[0], other, unequal)]
    return {
        "name": data.name,
        "question": data.question,
        "goal": data.words.goal,
        "arms": arms,
        "comparisons": pairs,
        "headline": headline(arms, pairs, data),
        "sentences": summary_sentences(arms, pairs, data, len(warnings)),
        "course": course_sentences(data),
        "limits": limits(arms, data),
        "warnings": warnings,
        "reasons": _reasons(warnings),
        "missing": data.missing,
        "timings": data.timings,
    }


def _arm(data: StudyData, arm: str) -> _Arm:
    queried = (
        queries.main_probe_rows,
        queries.llc_rows,
        queries.baseline_rows,
        queries.matched_rows,
        queries.profile_rows,
    )
    mine, own, blind, control, profiles = (
        rows[rows["arm"] == arm] for rows in (query(data) for query in queried)
    )
    mine = queries.last_rows(mine)
    steps = [int(s) for s in [*mine["step"], *own["step"]]]
    names = queries.probes_in_order(mine)
    script = {p: queries.baseline_of(blind, p, queries.metric_of(mine, p)) for p in names}
    runs = data.runs_of(arm)
    coins = dict.fromkeys(str(run.train["coin"]) for run in runs if "coin" in run.train)
    return {
        "name": arm,
        "coin": " / ".join(coins) or str(data.arms[arm].get("coin", "")),
        "runs": [run.name for run in runs],
        "seeds": [run.seed for run in runs],
        "last_step": max(steps, default=None),
        "probes": {p: _probe(mine[mine["probe"] == p]) for p in names},
        "baseline": {p: float(rows["value"].iloc[0]) for p, rows in script.items() if len(rows)},
        "llc": {s: _llc(own[own["states"] == s]) for s in queries.states_in_order(own)},
        "matched": {
            s: _llc(control[control["states"] == s]) for s in queries.states_in_order(control)
        },
        "profile": {
            s: meaning.profile_verdict(profiles[profiles["states"] == s])
            for s in queries.states_in_order(profiles)
        },
    }


def _probe(rows: pd.DataFrame) -> dict[str, Any]:
    n = rows["n"].dropna()
    score = _score(rows["value"], SHARE, rows["ci_low"], rows["ci_high"])
    return score | {"metric": str(rows["metric"].iloc[0]), "n": int(n.sum()) if len(n) else None}


def _llc(rows: pd.DataFrame) -> dict[str, Any]:
    """The mean of the estimates that did not fail; `status` holds those of all.

    `setting` says what the number is of, `at` at which entropy a control is, `information` (nats)
    how much the policies use the state.
    """
    last = queries.last_rows(rows)
    llc, half = last["llc"].where(~queries.failed(last)), Z95 * interval_stderr(last)
    return _score(llc, ANY, llc - half, llc + half) | {
        "status": sorted({str(s) for s in last["status"].dropna()}) or ["unknown"],
        "loss": str(last["loss"].iloc[0]), "step": int(last["step"].max()),
        "setting": meaning.setting(last.assign(matched_entropy=math.nan)),
        "at": meaning.matched(last),
        **{name: numbers([last.reindex(columns=[name])[name].astype(float).mean()])[0]
           for name, *_ in POLICY},
        "state_independent": bool(meaning.state_independent(last).any()),
    }  # fmt: skip


def _reasons(warnings: list[dict[Hashable, Any]]) -> list[dict[str, Any]]:
    """Why estimates are not sound, the most frequent first: how many, the text and some of them.

    Reasons that differ in their numbers alone are one, with the numbers of the first estimate; an
    estimate counts for each of its reasons.
    """
    of: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for w in warnings:
        place = f"{w['run']}, step {w['step']}, {w['states']} ({w['loss']})"
        for reason in w["message"].split("; "):
            key = w["status"], re.sub(r"[+-]?\d\S*", "", reason)
            of.setdefault(key, []).append((reason, place))
    found = [
        {"estimates": len(places), "status": status, "reason": places[0][0],
         "such as": "; ".join(place for _, place in places[:_EXAMPLES])}
        for (status, _), places in of.items()
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one["estimates"])


def _score(values: pd.Series, bounds: Bounds, low: pd.Series, high: pd.Series) -> dict[str, Any]:
    """The mean over seeds with its interval; of one seed with a value, that value's own."""
    mean, *ends, seeds = over_seeds(values, bounds, (low, high))
    if seeds == 1:
        ends = [float(end[values.notna()].iloc[0]) for end in (low, high)]
    value, low_, high_ = numbers([mean, *ends])
    return {"value": value, "low": low_, "high": high_, "seeds": seeds}


def _comparisons(
    data: StudyData, a: _Arm, b: _Arm, unequal: dict[str, str]
) -> list[dict[str, Any]]:
    """Two arms in every quantity that both have alike; the difference is of b less a."""
    of = {"probes": (probe_difference, 2), "llc": (llc_difference, 1)}
    out = []
    for kind, (compute, digits) in of.items():
        for name in a[kind]:
            if name not in b[kind] or (kind == "llc" and unequal[name]):
                continue
            first, second = (arm[kind][name]["value"] for arm in (a, b))
            found = compute(data, a["name"], b["name"], name)
            if first is None or second is None or found is None:
                continue
            difference, low, high = numbers([found.value, found.low, found.high])
            out.append({
                "kind": kind, "name": name, "a": a["name"], "b": b["name"], "a_value": first,
                "b_value": second, "difference": difference, "low": low, "high": high,
                "unit": found.unit, "seeds": list(found.seeds),
                "text": f"“{b['name']}” less “{a['name']}”, {found.text(digits)}",
            })  # fmt: skip
    return out


def to_markdown(summary: dict[str, Any]) -> str:
    """The summary of `build_summary` as a Markdown page, for terminals and pull requests."""
    lines = [f"# {_cell(summary['name'] or 'study')}", ""]
    if summary["question"]:
        lines += [_cell(summary["question"]), ""]
    lines += [f"- {_cell(line)}" for line in summary["headline"]] or ["- No results yet."]
    for title, part in (("What came out", "sentences"), ("The course of the goal", "course")):
        if summary[part]:
            lines += ["", f"{title}:", "", *(f"- {_cell(line)}" for line in summary[part])]
    lines += ["", "What this cannot show:", ""]
    lines += [f"- {_cell(line)}" for line in summary["limits"]]
    if summary["arms"]:
        lines += ["", "## Last checkpoint", "", *_table(summary["arms"], summary["goal"])]
        if settings := llc_settings(summary["arms"]):
            lines += ["", _cell(f"LLCs are at {settings}.")]
    if summary["warnings"]:
        lines += ["", "## Estimates that are not sound", ""]
        lines += [
            _cell(
                f"- {one['estimates']} {one['status']}: {one['reason']}; such as {one['such as']}"
            )
            for one in summary["reasons"]
        ]
    if summary["missing"]:
        lines += ["", "## Missing", "", *(f"- {_cell(line)}" for line in summary["missing"])]
    return "\n".join(lines) + "\n"


def _table(arms: list[_Arm], goal: str) -> list[str]:
    head = ["quantity", *(arm["name"] for arm in arms)]
    rows = [[f"training {goal}", *(arm["coin"] or "–" for arm in arms)]]
    rows += [["runs", *(str(len(arm["runs"])) for arm in arms)]]
    for kind, digits in (("probes", 2), ("llc", 1), ("matched", 1)):
        for name in dict.fromkeys(name for arm in arms for name in arm[kind]):
            title = labels.probe_title(name)
            if kind != "probes":
                title = f"LLC {llc_title(arms, kind, name)}"
            scores = (_as_text(arm[kind].get(name), digits) for arm in arms)
            rows.append([f"probe: {title}" if kind == "probes" else title, *scores])
    bars = ["---"] * len(head)
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in (head, bars, *rows)]


def llc_title(arms: list[_Arm], kind: str, states: str) -> str:
    """The states of an LLC, and the entropy of a control."""
    at = dict.fromkeys(arm[kind][states]["at"] for arm in arms if states in arm[kind])
    return ", ".join([labels.states_title(states), *filter(None, at)])


def llc_settings(arms: list[_Arm]) -> str:
    """What the LLCs of the table are at; with their arms and states where that differs."""
    of = {
        f"{arm['name']} {llc_title(arms, kind, states)}": score["setting"]
        for arm in arms
        for kind in ("llc", "matched")
        for states, score in arm[kind].items()
    }
    known = dict.fromkeys(of.values())
    parts = known if len(known) < 2 else (f"{setting} ({name})" for name, setting in of.items())
    return "; ".join(parts)


def _as_text(score: dict[str, Any] | None, digits: int) -> str:
    if score is None or score["value"] is None:
        return "–"
    return f"{score['value']:.{digits}f} {labels.brackets(score, digits)}".strip()


def _cell(content: object) -> str:
    """One line without anything that Markdown or HTML would act on."""
    plain = re.sub(r"\s+", " ", str(content)).strip()
    return re.sub(r"([|<>`\\])", r"\\\1", plain).replace("](", "]\\(")
