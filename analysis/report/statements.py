"""Sentences that the numbers allow, and what they do not show."""

from __future__ import annotations

from typing import Any

from analysis.report.data import StudyData
from analysis.report.evidence import shown_series
from analysis.report.select import is_own, is_shared
from analysis.report.words import count, listing, share, states_title

_ABILITY = ("end", "end@mid")
_GOAL = ("behind",)


def statements(
    arms: list[dict[str, Any]],
    comparisons: list[dict[str, Any]],
    data: StudyData,
    warnings: int,
) -> list[str]:
    """What came out, most important first; each sentence states its numbers."""
    out = [_goal(arms, comparisons), _ability(arms), _complexity(arms, comparisons)]
    out += [_transitions(data), _associations(data), _warnings(arms, warnings)]
    return [line for line in out if line]


def limits(arms: list[dict[str, Any]], data: StudyData) -> list[str]:
    """What these data cannot show, however clear the figures look."""
    out = []
    seeds = [len(arm["runs"]) for arm in arms if arm["runs"]]
    if seeds and min(seeds) == 1:
        out.append(
            "One training seed in an arm is a single draw. The intervals cover the choice of "
            "levels and the sampler's noise, not the luck of training: another seed may learn "
            "another goal, and a difference between two such arms need not come from where the "
            "coin was."
        )
    elif seeds and min(seeds) < 5:
        out.append(
            f"With {min(seeds)} training seeds in an arm, intervals over seeds are wide and rest "
            "on normality."
        )
    out.append(
        "An LLC says how complex a policy is around its weights, not which goal it has; the goal "
        "is read from behaviour alone."
    )
    llc = {name for arm in arms for name in arm["llc"]}
    if llc and not any(is_shared(name) for name in llc):
        out.append(
            "There are no estimates on shared states, so LLCs of different arms also differ by "
            "the states they were measured on."
        )
    if not len(data.table("associations")):
        out.append("No association between LLC and goal was computed, so none is claimed.")
    return out


def _goal(arms: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    shown = _rates(arms, _GOAL[0])
    if not shown:
        return ""
    blind = [arm["baseline"].get(_GOAL[0]) for arm in arms]
    script = next((b for b in blind if b is not None), None)
    line = (
        f"With the coin lying behind them, in view, the agents collect it in {listing(shown)} of "
    )
    line += "levels never trained on"
    line += (
        f"; a script that only runs right gets it in {share(script)}. "
        if script is not None
        else ". "
    )
    return line + _apart_line([c for c in comparisons if c["name"] == _GOAL[0]])


def _apart_line(pairs: list[dict[str, Any]]) -> str:
    if not pairs:
        return ""
    known = [c for c in pairs if c["apart"] is not None]
    apart = [c for c in known if c["apart"]]
    if len(known) < len(pairs):
        return "Intervals are missing, so it is open whether the arms differ."
    if len(apart) == len(pairs):
        return "The intervals do not overlap."
    if not apart:
        return "The intervals overlap, so the data do not tell the arms apart."
    names = listing([str(c["b"]) for c in apart])
    return f"The interval of {pairs[0]['a']} is apart from that of {names} and overlaps the others."


def _ability(arms: list[dict[str, Any]]) -> str:
    parts = []
    for probe in _ABILITY:
        shown = _rates(arms, probe)
        if shown:
            where = "from the usual start" if probe == "end" else "starting in mid-level"
            parts.append(f"{where} {listing(shown)}")
    if not parts:
        return ""
    return f"With the coin at the end of the level, the agents collect it {'; '.join(parts)}."


def _rates(arms: list[dict[str, Any]], probe: str) -> list[str]:
    return [
        f"{share(score['value'])} {_interval(score)} in arm {arm['name']}"
        for arm in arms
        if (score := arm["probes"].get(probe)) and score["value"] is not None
    ]


def _interval(score: dict[str, Any], digits: int = 2) -> str:
    if score["low"] is None or score["high"] is None:
        return "[no interval]"
    return f"[{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


def _complexity(arms: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    names = {name for arm in arms for name in arm["llc"]}
    best = next((n for n in sorted(names) if is_shared(n)), None)
    best = (
        best or next((n for n in sorted(names) if is_own(n)), None) or next(iter(sorted(names)), "")
    )
    shown = [
        f"{score['value']:.1f} {_interval(score, 1)} in arm {arm['name']}"
        for arm in arms
        if (score := arm["llc"].get(best)) and score["value"] is not None
    ]
    if not shown:
        return ""
    pairs = [c for c in comparisons if c["kind"] == "llc" and c["name"] == best]
    line = f"The LLC of the last checkpoint, {states_title(best)}, is {listing(shown)}. "
    return line + _apart_line(pairs)


def _transitions(data: StudyData) -> str:
    if not len(data.table("transitions")):
        return ""
    table = data.table("transitions").dropna(subset=["series"])
    shown = table[table["series"].isin(list(shown_series(data)))]
    is_llc = shown["series"].str.startswith("llc")
    return (
        f"In the series shown, two detectors report {count(int(is_llc.sum()), 'transition')} of "
        f"the LLC and {int((~is_llc).sum())} of probe outcomes; both may report the same one."
    )


def _associations(data: StudyData) -> str:
    table = data.table("associations")
    if not len(table):
        return ""
    tested = table.dropna(subset=["p_value"])
    if not len(tested):
        return (
            "Whether LLC and goal change together cannot be tested with these data: too few "
            "checkpoints in a run, too few seeds."
        )
    found = int((tested["q_value"].fillna(tested["p_value"]) <= 0.05).sum())
    return (
        f"Of {len(tested)} associations between LLC and probes that were tested, {found} pass 5 % "
        "after correction for their number."
    )


def _warnings(arms: list[dict[str, Any]], warnings: int) -> str:
    if not any(arm["llc"] for arm in arms):
        return ""
    if warnings == 0:
        return "All LLC estimates shown passed their checks."
    verb = "is" if warnings == 1 else "are"
    return f"{count(warnings, 'LLC estimate')} {verb} marked as not sound; see the warnings below."
