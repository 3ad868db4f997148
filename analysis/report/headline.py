"""The sentences at the top of a page: goals, LLC, link and verdict, one each."""

from __future__ import annotations

import re
from typing import Any

from analysis import meaning
from analysis.probes import PROBES
from analysis.report import labels, queries
from analysis.report.course import first_proxy
from analysis.report.data import StudyData
from analysis.report.hypotheses import NOT_TESTED, sentence_of, verdict_of
from analysis.report.sentences import association_sentence, compared, not_compared, values_of

_Arms = list[dict[str, Any]]
NO_ARMS = (
    "With one training seed in an arm no statement about arms is possible: what is told here is "
    "of these agents."
)
NO_TEST = (
    "The primary hypothesis, “{}”, cannot be tested with one training seed in an arm: what is told "
    "here is of these agents."
)
NO_CLAIM = "No primary hypothesis was named before the data, so nothing here confirms one."
_BRACKETS = "[95 % interval]"
_LINKS = ("seeds", "course", "prediction")  # kinds of hypotheses that link LLC and goal


def headline(arms: _Arms, pairs: _Arms, data: StudyData) -> list[str]:
    """At most four sentences, each led by what it is about; with `question` they are five.

    Args:
        arms: the numbers of `build_summary`.
        pairs: its comparisons.
        data: the study.
    """
    parts = {
        "Goals": _goals(arms, pairs, data),
        "LLC": _llc(arms, pairs, data),
        "Link": _link(data),
        "Verdict": _verdict(arms, data),
    }
    known = any(arm["probes"] or arm["llc"] for arm in arms)
    return [f"{name}: {text}" for name, text in parts.items() if text and known]


def question(data: StudyData) -> str:
    """What the study asks, as one sentence: the last question of its text, else its beginning."""
    parts = re.split(r"(?<=[.?!])\s+(?=\S)", data.question.strip() or data.words.deck)
    return next((part for part in reversed(parts) if part.endswith("?")), parts[0])


def sharp_probe(arms: _Arms) -> str:
    """The first probe in which goals come apart that an arm has; empty without one."""
    known = {probe for arm in arms for probe in arm["probes"]}
    return next((p for p, one in PROBES.items() if p in known and one.is_sharp), "")


def _goals(arms: _Arms, pairs: _Arms, data: StudyData) -> str:
    probe = sharp_probe(arms)
    if not probe:
        return ""
    lead, _ = PROBES[probe].summary or ("", "")
    values, _ = values_of(arms, "probes", probe, 2)
    proxies = {arm["name"]: first_proxy(data, arm["name"]) for arm in arms}
    first = [f"arm “{arm}” at first {proxy}" for arm, proxy in proxies.items() if proxy]
    parts = [values, *compared(pairs, "probes", probe), *first]
    return f"{lead}, {PROBES[probe].measure} {_BRACKETS}: {'; '.join(filter(None, parts))}."


def _llc(arms: _Arms, pairs: _Arms, data: StudyData) -> str:
    rows = queries.llc_rows(data)
    if rows.empty:
        return ""
    name = queries.states_in_order(rows)[0]
    last = queries.last_rows(rows[rows["states"] == name])
    values, _ = values_of(arms, "llc", name, 1)
    why = not_compared(arms, name, queries.no_common_scale(data)[name])
    verdicts = meaning.verdicts({arm["name"]: arm["profile"].get(name, "") for arm in arms})
    parts = [
        values or "none",
        *([why] if why else compared(pairs, "llc", name)),
        *([f"profile: {verdicts}"] if verdicts else []),
    ]
    where = f"At {meaning.setting(last)}, {labels.states_title(name)}"
    return f"{where} {_BRACKETS}: {'; '.join(parts)}."


def _link(data: StudyData) -> str:
    """The first secondary hypothesis that links LLC and goal, else how associations came out.

    Empty where the primary one is such a link: the verdict tells of it.
    """
    named = [row for row in data.table("hypotheses").to_dict("records") if row["kind"] in _LINKS]
    if any(row["role"] == "primary" for row in named):
        return ""
    secondary = [sentence_of(row) for row in named if row["role"] == "secondary"]
    text = association_sentence(data) or "No link between LLC and goal was tested."
    return next(iter(secondary), text)


def _verdict(arms: _Arms, data: StudyData) -> str:
    """What came of the primary hypothesis; with one seed in an arm, that none can be tested."""
    table = data.table("hypotheses")
    primary = table[table["role"] == "primary"].to_dict("records")
    seeds = [len(arm["runs"]) for arm in arms if arm["runs"]]
    tested = bool(primary) and verdict_of(primary[0]) != NOT_TESTED
    if not tested and seeds and min(seeds) == 1:
        return NO_TEST.format(primary[0]["hypothesis"]) if primary else NO_ARMS
    return sentence_of(primary[0]) if primary else NO_CLAIM
