"""Labels: names of the tables in plain words, and numbers as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from analysis.probes import FIXED_STATE_METRICS, PROBES, SCORES
from analysis.series import is_shared

FIXED_STATES = {(m.probe, m.metric): m.label for m in FIXED_STATE_METRICS}
WHICH = {  # why a clip shows the level that it shows
    "common": "same level for all agents",
    "typical": "typical of this agent",
    "surprising": "unusual for this agent",
}


def probe_title(probe: str) -> str:
    """A short name of a probe for people."""
    return PROBES[probe].title if probe in PROBES else probe


def metric_title(metric: str) -> str:
    """What a metric of a probe counts."""
    known = {"coin": "coin collected", "end": "end reached", "death": "died",
             "timeout": "timed out", "corner_first": "corner reached first",
             "cheese_first": "cheese reached first", "mean_return": "mean return"}  # fmt: skip
    return next((text for key, text in known.items() if metric.startswith(key)), metric)


def pair_title(probe: str, metric: str) -> str:
    """A probe and its metric in words."""
    if probe == "suite" and metric in SCORES:
        return f"score: {SCORES[metric].title.lower()}"
    known = FIXED_STATES.get((probe, metric))
    return known or f"{probe_title(probe)}: {metric_title(metric)}"


def is_own(states: str) -> bool:
    """Whether a state set was visited by the very checkpoint that is estimated."""
    return states == "on-policy"


def states_title(states: str) -> str:
    """Where the states of an LLC estimate come from."""
    if is_shared(states):
        return "on one shared, frozen set of states"
    return "on each checkpoint's own states" if is_own(states) else f"on the states {states}"


def states_noun(states: str) -> str:
    """What an estimate counts: `frozen states`."""
    if is_shared(states):
        return "shared, frozen states"
    return "own states" if is_own(states) else f"states {states}"


def states_short(states: str) -> str:
    """The same, for narrow places."""
    if is_shared(states):
        return "on shared states"
    return "on own states" if is_own(states) else states


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def count(n: int, thing: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{n} {thing if n == 1 else thing + 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def share(value: float | None) -> str:
    """A share of episodes, to two digits."""
    return "–" if value is None or value != value else f"{value:.2f}"


def number(value: Any) -> str:
    """A number to three digits, a dash where there is none."""
    return "–" if value is None or pd.isna(value) else f"{value:.3g}"


def brackets(score: dict[str, Any], digits: int) -> str:
    """The 95 % interval of a score of the summary, in brackets; empty where there is none."""
    if score["low"] is None or score["high"] is None:
        return ""
    return f"[{score['low']:.{digits}f}, {score['high']:.{digits}f}]"


def interval(low: Any, high: Any, form: Callable[[Any], str] = number) -> str:
    """Both ends of an interval, a dash where one is missing."""
    missing = low is None or high is None or pd.isna(low) or pd.isna(high)
    return "–" if missing else f"{form(low)} to {form(high)}"


def text(value: Any) -> str:
    """A table's text, empty where it is missing."""
    return "" if value is None or pd.isna(value) else str(value)


def short(steps: float) -> str:
    """A step count as people write it: 300, 10k, 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if steps >= size:
            return f"{steps / size:.3g}{letter}"
    return f"{steps:.3g}"
