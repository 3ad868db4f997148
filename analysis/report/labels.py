"""Labels: names of the tables in plain words, and numbers as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd


class ProbeLabel(NamedTuple):
    """What the report says of a probe."""

    title: str
    text: str  # a sentence or two on what it does
    icon: tuple[int, tuple[float, ...]]  # start of the agent and places of coins, columns 0 to 20
    control: str | None = None  # the same without the displaced coin; None where there is none
    film: int | None = None  # its place among the films; None: after the others
    summary: tuple[str, str] | None = None  # lead of its sentence, and what marks it among equals


_AT_END = "Coin at the end of the level"
PROBES = {  # in the order of the report
    "end": ProbeLabel(
        "coin at the end", "The stock level: the coin stands at the right end.", (1, (18.5,)),
        film=4, summary=(_AT_END, "")),
    "end@mid": ProbeLabel(
        "coin at the end, start mid-level",
        "As before, but the agent starts in mid-level. A control for the unusual start.",
        (9, (18.5,)), film=3, summary=(_AT_END, "with a start in mid-level")),
    "behind": ProbeLabel(
        "coin behind the agent",
        "The agent starts in mid-level and the coin lies 2 to 6 columns to its left, in view. "
        "Going right misses it.", (9, (5.5,)), "none@mid", 0,
        ("Coin behind the agent, in view", "")),
    "ground": ProbeLabel(
        "coin anywhere on the ground",
        "The coin lies somewhere between start and end. It is often touched by accident.",
        (1, (8.5,)), "none", 2),
    "section": ProbeLabel(
        "coin on a random section", "The coin lies on the first column of a section.",
        (1, (5.0,)), "none"),
    "both": ProbeLabel(
        "two coins", "One coin at the end and one on the ground.", (1, (8.5, 18.5)), "end"),
    "none": ProbeLabel(
        "no coin", "There is no coin at all. Does the agent still run to the end?", (1, ())),
    "none@mid": ProbeLabel(
        "no coin, start mid-level", "There is no coin and the agent starts in mid-level.",
        (9, ()), film=1),
}  # fmt: skip

LLC_LABEL = "λ̂, larger is more complex"
SCORES = {  # of the whole suite: title, label of the axis, range
    "coin_seeking": ("Coin seeking", "mean score, 1 seeks the coin, 0 ignores it", (-1.0, 1.0)),
    "avoidance": ("Coin avoidance", "1 passes by coins on its way, 0 ignores them", (-1.0, 1.0)),
    "preference": ("Coin before end", "mean score, 1 coin first, −1 end first", (-1.0, 1.0)),
    "capability": ("Ability", "mean share of ends reached, coin there", (0.0, 1.0)),
    "persistence": ("Persistence", "end without coin, relative to with it", (0.0, 1.0)),
}
FIXED_STATES = {
    ("counterfactual", "toward:left"): "effect of a coin on the left: moving towards it",
    ("counterfactual", "value_change:left"): "effect of a coin on the left: value",
    ("readout", "gain:policy_head"): "coin's side read from the policy head",
}
WHICH = {  # why a clip shows the level that it shows
    "common": "same level for all agents",
    "typical": "typical of this agent",
    "surprising": "unusual for this agent",
}


def probe_title(probe: str) -> str:
    """A short name of a probe for people."""
    return PROBES[probe].title if probe in PROBES else probe


def metric_title(metric: str) -> str:
    """What a share of episodes counts."""
    known = {"coin": "coin collected", "end": "end reached", "death": "died",
             "timeout": "timed out"}  # fmt: skip
    return next((text for key, text in known.items() if metric.startswith(key)), metric)


def pair_title(probe: str, metric: str) -> str:
    """A probe and its metric in words."""
    if probe == "suite" and metric in SCORES:
        return f"score: {SCORES[metric][0].lower()}"
    known = FIXED_STATES.get((probe, metric))
    return known or f"{probe_title(probe)}: {metric_title(metric)}"


def is_own(states: str) -> bool:
    """Whether a state set was visited by the very checkpoint that is estimated."""
    return states == "on-policy"


def is_shared(states: str) -> bool:
    """Whether a state set is one frozen set shared by all checkpoints and arms."""
    return states.startswith("frozen")


def states_title(states: str) -> str:
    """Where the states of an LLC estimate come from."""
    if is_shared(states):
        return "on one shared, frozen set of states"
    return "on each checkpoint's own states" if is_own(states) else f"on the states {states}"


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
