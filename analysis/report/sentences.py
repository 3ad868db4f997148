"""Sentences that the numbers allow, and what they do not show."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import meaning
from analysis.probes import PROBES, met_sentence
from analysis.report import labels, queries, results, test_tables
from analysis.report.data import StudyData
from analysis.series import is_shared
from analysis.transitions import UNSURE

_Arms = list[dict[str, Any]]


def summary_sentences(arms: _Arms, pairs: _Arms, data: StudyData, warnings: int) -> list[str]:
    """What came out, most important first; each sentence states its numbers.

    Intervals of two arms are no test: two that overlap may hold a difference. So of two arms a
    sentence states the difference with an interval of its own, and what it is of: these two agents,
    or arms over their seeds.

    Args:
        arms: the numbers of `build_summary`.
        pairs: its comparisons.
        data: tables of transitions and of statistics over runs.
        warnings: LLC estimates that are not sound.
    """
    over_seeds = (results.prediction_result, results.path_result)
    out = [
        *_behavior(arms, pairs),
        _llc(arms, pairs, data),
        _transitions(data),
        association_sentence(data),
    ]
    out += [result(data).line for result in over_seeds]
    return [line for line in [*out, _warnings(arms, warnings)] if line]


def limits(arms: _Arms, data: StudyData) -> list[str]:
    """What these data cannot show, however clear the figures look."""
    out = []
    seeds = [len(arm["runs"]) for arm in arms if arm["runs"]]
    if seeds and min(seeds) == 1:
        out.append(
            "One training seed in an arm is a single draw. The intervals cover the choice of "
            "levels and the sampler's noise, not the luck of training: another seed may learn "
            "another goal, and a difference between two such arms need not come from their "
            "training settings."
        )
    elif seeds and min(seeds) < 5:
        out.append(
            f"With {min(seeds)} training seeds in an arm, intervals over seeds are wide and rest "
            "on normality."
        )
    out.append(
        "An LLC says in how many directions the weights are held at one resolution, not which "
        "goal the policy has; the goal is read from behavior alone."
    )
    llc = {name for arm in arms for name in arm["llc"]}
    if llc and not any(is_shared(name) for name in llc):
        out.append(
            "There are no estimates on shared states, so LLCs of different arms also differ by "
            "the states they were measured on."
        )
    shared = {n: why for n, why in queries.no_common_scale(data).items() if is_shared(n)}
    if why := next(filter(None, shared.values()), ""):
        out.append(
            "The LLCs on shared states were not all estimated with the same settings or on the "
            f"same states, so they are no common scale: they differ in {why}."
        )
    if said := met_sentence(data.table("probes")):
        out.append(said)
    if not len(data.table("associations")):
        out.append("No association between LLC and goal was computed, so none is claimed.")
    return out


def _behavior(arms: _Arms, pairs: _Arms) -> list[str]:
    """A sentence for each lead in the records of probes, those where goals come apart first."""
    parts: dict[str, list[str]] = {}
    measures: dict[str, str] = {}
    tested: dict[str, str] = {}
    for probe, record in sorted(PROBES.items(), key=lambda item: not item[1].is_sharp):
        values, n = values_of(arms, "probes", probe, 2)
        if record.summary is None or n == 0:
            continue
        lead, mark = record.summary
        blind = [arm["baseline"][probe] for arm in arms if probe in arm["baseline"]]
        measures[lead] = labels.capital(record.measure)
        if record.is_sharp:
            values += f"; a script that only runs right {labels.share(blind[0])}" if blind else ""
            tested[lead] = "".join(f" {text}." for text in compared(pairs, "probes", probe))
        parts.setdefault(lead, []).append(f"{mark} {values}".strip())
    return [
        f"{lead}. {measures[lead]}: {'; '.join(own)}.{tested.get(lead, '')}"
        for lead, own in parts.items()
    ]


def values_of(arms: _Arms, kind: str, name: str, digits: int) -> tuple[str, int]:
    """A quantity of each arm that has it, with its interval, and how many arms these are."""
    known = [
        f"arm “{arm['name']}” {score['value']:.{digits}f} "
        + (labels.brackets(score, digits) or "[no interval]")
        for arm in arms
        if (score := arm[kind].get(name)) and score["value"] is not None
    ]
    return ", ".join(known), len(known)


def compared(pairs: _Arms, kind: str, name: str) -> list[str]:
    """What the comparisons of a quantity come to, in words."""
    return [one["text"] for one in pairs if (one["kind"], one["name"]) == (kind, name)]


def _llc(arms: _Arms, pairs: _Arms, data: StudyData) -> str:
    """The LLCs on the first state set, and what the number is."""
    rows = queries.llc_rows(data)
    if rows.empty:
        return ""
    name = queries.states_in_order(rows)[0]
    values, n = _llc_values(arms, pairs, name, queries.no_common_scale(data)[name])
    parts = [values] if values else []
    if n:
        last = queries.last_rows(rows[rows["states"] == name])
        verdicts = meaning.verdicts({arm["name"]: arm["profile"].get(name, "") for arm in arms})
        ending = verdicts and f"its profile: {verdicts}"
        parts.append(f"What it is: {meaning.sentence(last, labels.states_noun(name), ending)}.")
        scores = {arm["name"]: arm["llc"].get(name, {}) for arm in arms}
        if flat := [arm for arm, score in scores.items() if score.get("state_independent")]:
            parts.append(
                f"Policies of {labels.listed(flat)} hardly depend on the state (information below "
                f"{meaning.LEAST_INFORMATION} nats): their LLC says nothing of a goal."
            )
    control, n = values_of(arms, "matched", name, 1)
    if n:
        parts.append(f"A control {meaning.matched(queries.matched_rows(data))}: {control}.")
    return " ".join(parts)


def _llc_values(arms: _Arms, pairs: _Arms, name: str, unequal: str) -> tuple[str, int]:
    """The LLCs of the arms, whether they are comparable, and how many there are."""
    values, n = values_of(arms, "llc", name, 1)
    parts = [f"LLC of the last checkpoint, {labels.states_title(name)}: {values or 'none'}."]
    if not n and not any(name in arm["llc"] for arm in arms):
        return "", 0
    if why := not_compared(arms, name, unequal):
        parts.append(f"{labels.capital(why)}.")
    else:
        parts += [f"{text}." for text in compared(pairs, "llc", name)]
    return " ".join(parts), n


def not_compared(arms: _Arms, name: str, unequal: str) -> str:
    """Why the LLCs on a state set are not compared; empty where they are, or where one is alone."""
    scores = {arm["name"]: arm["llc"][name] for arm in arms if name in arm["llc"]}
    lost = [a for a, one in scores.items() if one["value"] is None and "failed" in one["status"]]
    known = {a: one for a, one in scores.items() if one["value"] is not None}
    unsound = [a for a, one in known.items() if one["status"] != ["ok"]]
    parts = [f"of {labels.listed(lost)} every estimate failed"] if lost else []
    if some := [a for a in unsound if len(scores[a]["status"]) > 1]:
        parts.append(
            f"not every estimate of {labels.listed(some)} passed its checks: no comparison"
        )
    elif unsound:
        one = len(unsound) == 1
        parts.append(f"{'that' if one else 'those'} of {labels.listed(unsound)} did not pass "
                     f"{'its' if one else 'their'} checks: no comparison")  # fmt: skip
    elif len(known) > 1 and unequal:
        parts.append(f"unequal {unequal}: no comparison")
    return "; ".join(parts)


def _transitions(data: StudyData) -> str:
    if not len(data.table("transitions")):
        return ""
    table = data.table("transitions").dropna(subset=["series"])
    is_shown = table["series"].isin(list(test_tables.shown_series(data)))
    shown = table[is_shown & (table["kind"] != "trend")]
    is_llc = shown["series"].str.startswith("llc")
    status = shown["status"].tolist() if "status" in shown else []
    unsure = "".join(f", {status.count(of)} {of}" for of in UNSURE if of in status)
    return (
        f"In the series shown there are {labels.count(int(is_llc.sum()), 'transition')} of the LLC "
        f"and {int((~is_llc).sum())} of probe outcomes{unsure}. {_goal_changes(data, table)}"
        f"{test_tables.expected_false(table)}"
    ).rstrip()


def _goal_changes(data: StudyData, table: pd.DataFrame) -> str:
    """Every change found in the probe where goals come apart first, a trend too, by arm."""
    main = queries.main_probe_rows(data)
    known = dict(zip(main["probe"], main["metric"], strict=True))
    probe = next((p for p, one in PROBES.items() if one.is_sharp and p in known), "")
    rows = table[table["series"] == f"probe:{probe}:{known.get(probe, '')}"]
    parts = []
    for arm in data.arms:
        runs = [run.name for run in data.runs_of(arm)]
        mine = rows[rows["run"].isin(runs)].sort_values(["run", "step"])
        if len(runs) == 1:
            told = [_change(row) for row in mine.to_dict("records")]
        else:
            kinds = mine.assign(way=[_way(row) for row in mine.to_dict("records")])
            told = [f"{way} in {of} of {len(runs)} runs"
                    for way, of in kinds.groupby("way")["run"].nunique().items()]  # fmt: skip
        if runs:
            parts.append(f"arm “{arm}” {labels.listed(told) if told else 'no change found'}")
    if not parts or rows.empty:
        return ""
    return f"{labels.capital(labels.pair_title(probe, known[probe]))}: {'; '.join(parts)}. "


def _way(row: dict[Any, Any]) -> str:
    """What a change is: `a rise`, `a fall`, or a steady one."""
    way = "rise" if row["change"] > 0 else "fall"
    return f"a steady {way} without a plateau (a trend)" if row["kind"] == "trend" else f"a {way}"


def _change(row: dict[Any, Any]) -> str:
    """A change in words, with where it begins and ends, and its size."""
    low, high = row.get("change_low"), row.get("change_high")
    within = "" if low is None or pd.isna(low) else f" [{low:+.2f}, {high:+.2f}]"
    status = labels.text(row.get("status"))
    return (
        f"{_way(row)} of {row['change']:+.2f}{within} from step {row['step_low']:,.0f} to "
        f"{row['step_high']:,.0f}" + (f", {status}" if status else "")
    )


def association_sentence(data: StudyData) -> str:
    """How many associations of LLC and probes passed their test; empty where none was computed."""
    table = data.table("associations")
    if not len(table):
        return ""
    tested = table.dropna(subset=["p_value"])
    if not len(tested):
        notes = table["note"].dropna() if "note" in table else table["value"].iloc[:0]
        still = len(notes) and notes.str.contains("no change|never changes|no difference").all()
        why = (
            "series that do not change" if still else "too few checkpoints in a run, too few seeds"
        )
        return f"Whether LLC and goal change together cannot be tested with these data: {why}."
    found = int((tested["q_value"].fillna(tested["p_value"]) <= 0.05).sum())
    power = "" if found else f"; {test_tables.least_link(table)}"
    return (
        f"Of {len(tested)} exploratory associations between LLC and probes, {found} have a false "
        f"discovery rate of at most 5 %{power}."
    )


def _warnings(arms: _Arms, warnings: int) -> str:
    if not any(arm["llc"] for arm in arms):
        return ""
    if warnings == 0:
        return "All LLC estimates shown passed their checks."
    some = labels.count(warnings, "LLC estimate") + (" is" if warnings == 1 else " are")
    return f"{some} marked as not sound; see the warnings below."
