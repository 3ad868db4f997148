"""Sentences that the numbers allow, and what they do not show."""

from __future__ import annotations

from typing import Any

from analysis.report.data import StudyData
from analysis.report.labels import count, listing, share, states_title
from analysis.report.queries import is_own, is_shared, uneven_states
from analysis.report.results import sentences
from analysis.report.test_tables import shown_series


def statements(
    arms: list[dict[str, Any]],
    comparisons: list[dict[str, Any]],
    data: StudyData,
    warnings: int,
) -> list[str]:
    """What came out, most important first; each sentence states its numbers."""
    out = [_goal(arms, comparisons), _ability(arms), _complexity(arms, comparisons)]
    out += [_transitions(data), _associations(data), *sentences(data), _warnings(arms, warnings)]
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
    if uneven_states(data):
        out.append(
            "The LLCs on shared states were not all estimated with the same settings or on the "
            "same states, so they are no common scale."
        )
    if not len(data.table("associations")):
        out.append("No association between LLC and goal was computed, so none is claimed.")
    return out


def _goal(arms: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    shown = _rates(arms, "behind")
    if not shown:
        return ""
    blind = [arm["baseline"].get("behind") for arm in arms]
    script = next((b for b in blind if b is not None), None)
    also = "" if script is None else f"; a script that only runs right {share(script)}"
    line = f"Coin behind the agent, in view. Share of levels where it is collected: {shown}{also}."
    pairs = [c for c in comparisons if c["kind"] == "probes" and c["name"] == "behind"]
    return f"{line} {_apart_line(pairs)}".strip()


def _ability(arms: list[dict[str, Any]]) -> str:
    usual, mid = _rates(arms, "end"), _rates(arms, "end@mid")
    parts = [usual] if usual else []
    parts += [f"with a start in mid-level {mid}"] if mid else []
    line = "Coin at the end of the level. Share of levels where it is collected: "
    return f"{line}{'; '.join(parts)}." if parts else ""


def _rates(arms: list[dict[str, Any]], probe: str) -> str:
    return ", ".join(
        f"arm “{arm['name']}” {share(score['value'])} {_interval(score)}"
        for arm in arms
        if (score := arm["probes"].get(probe)) and score["value"] is not None
    )


def _interval(score: dict[str, Any], digits: int = 2) -> str:
    if score["low"] is None or score["high"] is None:
        return "[no interval]"
    return f"[{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


def _complexity(arms: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    names = sorted({name for arm in arms for name in arm["llc"]})
    names.sort(key=lambda name: (not is_shared(name), not is_own(name)))
    scores = [(a["name"], a["llc"][names[0]]) for a in arms if names and names[0] in a["llc"]]
    scores = [(name, score) for name, score in scores if score["value"] is not None]
    if not scores:
        return ""
    told = [f"arm “{name}” {score['value']:.1f} {_interval(score, 1)}" for name, score in scores]
    line = f"LLC of the last checkpoint, {states_title(names[0])}: {', '.join(told)}."
    unsound = [name for name, score in scores if score["status"] != ["ok"]]
    if unsound:
        return f"{line} That of {listing(unsound)} did not pass its checks: no comparison."
    pairs = [c for c in comparisons if c["kind"] == "llc" and c["name"] == names[0]]
    return f"{line} {_apart_line(pairs)}".strip()


def _apart_line(pairs: list[dict[str, Any]]) -> str:
    """What the 95 % intervals of the first arm and of each other one allow to say."""
    if not pairs:
        return ""
    apart = [c for c in pairs if c["apart"]]
    if any(c["apart"] is None for c in pairs):
        return "Intervals are missing, so it is open whether they differ."
    if len(apart) == len(pairs):
        return "The intervals do not overlap: in this the agents differ."
    if not apart:
        return "The intervals overlap: these data do not tell the agents apart."
    names = listing([str(c["b"]) for c in apart])
    return f"The interval of {pairs[0]['a']} is apart from that of {names} and overlaps the others."


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
