"""Plain words for names in the tables."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.report.queries import is_own, is_shared

PROBES = {
    "end": ("coin at the end", "The stock level: the coin stands at the right end."),
    "end@mid": (
        "coin at the end, start mid-level",
        "As before, but the agent starts in mid-level. A control for the unusual start.",
    ),
    "behind": (
        "coin behind the agent",
        "The agent starts in mid-level and the coin lies 2 to 6 columns to its left, in view. "
        "Going right misses it.",
    ),
    "ground": (
        "coin anywhere on the ground",
        "The coin lies somewhere between start and end. It is often touched by accident.",
    ),
    "section": ("coin on a random section", "The coin lies on the first column of a section."),
    "both": ("two coins", "One coin at the end and one on the ground."),
    "none": ("no coin", "There is no coin at all. Does the agent still run to the end?"),
    "none@mid": (
        "no coin, start mid-level",
        "There is no coin and the agent starts in mid-level.",
    ),
}

LLC_UNIT = "λ̂, larger is more complex"
SCORE_WORDS = {
    "coin_seeking": ("Coin seeking", "mean score, 1 seeks the coin, 0 ignores it", (-1.0, 1.0)),
    "avoidance": ("Coin avoidance", "1 passes by coins on its way, 0 ignores them", (-1.0, 1.0)),
    "preference": ("Coin before end", "mean score, 1 coin first, −1 end first", (-1.0, 1.0)),
    "capability": ("Ability", "mean share of ends reached, coin there", (0.0, 1.0)),
    "persistence": ("Persistence", "end without coin, relative to with it", (0.0, 1.0)),
}

INNER_WORDS = {
    ("counterfactual", "toward:left"): "effect of a coin on the left: moving towards it",
    ("counterfactual", "value_change:left"): "effect of a coin on the left: value",
    ("readout", "gain:policy_head"): "coin's side read from the policy head",
}
WHICH_WORDS = {
    "common": "same level for all agents",
    "typical": "typical of this agent",
    "surprising": "unusual for this agent",
}


def which_title(which: str) -> str:
    """Why a clip's level was chosen; empty for an unknown reason."""
    return WHICH_WORDS.get(which, "")


def scene_title(which: str) -> str:
    """The same for a group of clips, each on a level of its agent's own."""
    return which_title(which).replace("this", "each")


def probe_title(probe: str) -> str:
    """A short name of a probe for people."""
    return PROBES.get(probe, (probe, ""))[0]


def probe_text(probe: str) -> str:
    """A sentence on what a probe does; empty for an unknown one."""
    return PROBES.get(probe, ("", ""))[1]


def metric_title(metric: str | None) -> str:
    """What a share of episodes counts."""
    if metric is None:
        return "share of episodes"
    known = {
        "coin": "coin collected",
        "end": "end reached",
        "death": "died",
        "timeout": "timed out",
    }
    return next((text for key, text in known.items() if metric.startswith(key)), metric)


def states_title(states: str) -> str:
    """Where the states of an LLC estimate come from."""
    if is_shared(states):
        return "on one shared, frozen set of states"
    if is_own(states):
        return "on each checkpoint's own states"
    return f"on the states {states}"


def states_short(states: str) -> str:
    """The same, for narrow places."""
    return (
        "on shared states" if is_shared(states) else "on own states" if is_own(states) else states
    )


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def share(value: float | None) -> str:
    """A share of episodes, to two digits."""
    return "–" if value is None or value != value else f"{value:.2f}"


def count(n: int, thing: str, things: str | None = None) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{n} {thing if n == 1 else things or thing + 's'}"


def listing(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def pair_title(probe: str, metric: str) -> str:
    """A probe and its metric in words."""
    if probe == "suite" and metric in SCORE_WORDS:
        return f"score: {SCORE_WORDS[metric][0].lower()}"
    known = INNER_WORDS.get((probe, metric))
    return known or f"{probe_title(probe)}: {metric_title(metric)}"


def number(value: Any) -> str:
    """A number to three digits, a dash where there is none."""
    return "–" if value is None or pd.isna(value) else f"{value:.3g}"


def text(value: Any) -> str:
    """A table's text, empty where it is missing."""
    return "" if value is None or pd.isna(value) else str(value)


def short(steps: float) -> str:
    """A step count as people write it: 300, 10k, 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if steps >= size:
            return f"{steps / size:.3g}{letter}"
    return f"{steps:.3g}"
