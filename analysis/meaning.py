"""What the LLC of some rows of table `llc` is a number of, in words.

An LLC depends on the resolution at which it is asked for, on the scale of the hidden units (gauge),
and on which actions count as different; a number without these says nothing
(docs/what-the-number-means.md). Everything that shows one takes its words from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

LEAST_INFORMATION = 0.001  # nats of I(state; action) below which a policy hardly uses the state
_EQUAL = 0.02  # relative difference up to which two numbers are one setting
_GAUGES = {"balanced": "balanced weights", "none": "weights as given"}
_ACTIONS = {"distinct": "distinct actions", "all": "all actions"}
_NUMBERS = ("relative_temperature", "nbeta", "localization", "n_states", "matched_entropy")
_UNLESS = "not a learning coefficient unless the profile has a plateau"


def resolution(rows: pd.DataFrame) -> str:
    """`relative temperature 50`, or nbeta and localization where that is not one number.

    Args:
        rows: of table `llc` or `profile`; columns that are missing count as not recorded.
    """
    temperature, nbeta, localization = (_ends(rows, name) for name in _NUMBERS[:3])
    if _same(temperature) and not is_plain(rows):
        return f"relative temperature {_span(temperature)}"
    plain = " (N / log N)" if is_plain(rows) else ""
    return f"nbeta {_span(nbeta)}{plain}, localization {_span(localization)}"


def setting(rows: pd.DataFrame) -> str:
    """The same with the gauge, the actions, the number of states, and a matched entropy."""
    parts = [resolution(rows), choices(rows), count_of_states(rows), matched(rows)]
    return ", ".join(filter(None, parts))


def label(rows: pd.DataFrame) -> str:
    """`setting` for narrow places, with K for the relative temperature."""
    return setting(rows).replace("relative temperature", "K =")


def choices(rows: pd.DataFrame) -> str:
    """The gauge, the actions that count as different, and which weights are free where not all."""
    gauges = [_GAUGES.get(one, f"gauge {one}") for one in _texts(rows, "gauge")]
    actions = [_ACTIONS.get(one, f"actions {one}") for one in _texts(rows, "actions")]
    parts = [" / ".join(gauges), " / ".join(actions)]
    if free := [one for one in _texts(rows, "params") if one not in ("all", "not recorded")]:
        parts.append(f"weights {' / '.join(free)}")
    return ", ".join(parts)


def count_of_states(rows: pd.DataFrame, states: str = "states") -> str:
    """`2,048 states`; `25 levels` where the loss counts levels."""
    if rows.reindex(columns=["sample_unit"])["sample_unit"].eq("level").any():
        states = "levels"
    return f"{_span(_ends(rows, 'n_states'), '{:,.0f}')} {states}"


def matched(rows: pd.DataFrame) -> str:
    """`at matched entropy 1.2 nats`; empty for policies as they are."""
    ends = _ends(rows, "matched_entropy")
    return "" if math.isnan(ends[0]) else f"at matched entropy {_span(ends)} nats"


def sentence(rows: pd.DataFrame, states: str, ending: str = "") -> str:
    """What the number is, as a sentence without its full stop.

    Args:
        rows: the estimates, of one loss on one state set.
        states: what kind of states, such as `frozen states`.
        ending: what its profile says; empty where there is none.
    """
    temperature = _ends(rows, "relative_temperature")
    ridge = ""
    if _same(temperature) and not is_plain(rows):
        ridge = f" (ridge {50 / temperature[0]:.2g} % of the curvature's trace)"
    elif not math.isnan(temperature[0]):
        ridge = f", relative temperature {_span(temperature)}"
    plain = "plain LLC" if is_plain(rows) else "LLC"
    loss = str(rows["loss"].dropna().iloc[0]) if rows["loss"].notna().any() else "kl"
    holder = "policy" if loss == "kl" else f"loss {loss}"
    parts = [f"{plain} at {resolution(rows)}{ridge}", choices(rows)]
    parts += [*filter(None, [matched(rows)]), count_of_states(rows, states)]
    return (
        f"{', '.join(parts)}: about half the number of directions that the {holder} holds fixed at "
        f"this resolution; {ending or _UNLESS}"
    )


def unequal(rows: pd.DataFrame) -> list[str]:
    """In what the estimates differ that must be equal where LLCs are compared, with the values.

    That is the resolution (the relative temperature; nbeta and localization where it is not
    known), the gauge, the actions that count as different, the loss, and the number of states.
    """
    ends = {name: _ends(rows, name) for name in _NUMBERS}
    by_trace = not math.isnan(ends["relative_temperature"][0])
    for name in _NUMBERS[1:3] if by_trace else _NUMBERS[:1]:
        del ends[name]
    out = [
        f"{name.replace('n_', 'number of ').replace('_', ' ')} ({_span(own, '{:,.4g}')})"
        for name, own in ends.items()
        if own[0] == own[0] and not _same(own)
    ]
    for name in ("gauge", "actions", "loss"):
        values = _texts(rows, name)
        out += [f"{name} ({' / '.join(values)})"] if len(values) > 1 else []
    return out


def state_independent(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of a policy that hardly depends on the state: I(S; A) below 0.001 nats."""
    return _numbers(rows, "information") < LEAST_INFORMATION


def profile_verdict(profiles: pd.DataFrame) -> str:
    """What profiles came to, in words: each verdict of the table once, with how many runs have it.

    Args:
        profiles: rows of table `profile`, of one state set.
    """
    of_runs = [
        str(v) for v in profiles.dropna(subset=["verdict"]).groupby("run")["verdict"].first()
    ]
    known = list(dict.fromkeys(of_runs))
    if len(known) < 2:
        return "".join(known)
    return "; ".join(f"{one} ({of_runs.count(one)} of {len(of_runs)} runs)" for one in known)


def is_plain(rows: pd.DataFrame) -> bool:
    """Whether nbeta is N / log N throughout."""
    n, nbeta = (_numbers(rows, name) for name in ("n_states", "nbeta"))
    usual = n.map(lambda one: one / math.log(one) if one > 1 else math.nan)
    return bool(len(rows)) and bool(((nbeta / usual - 1).abs() < 1e-3).all())


def verdicts(of_arms: Mapping[str, str]) -> str:
    """What `profile_verdict` says of each arm; once where all are alike."""
    known = {arm: verdict for arm, verdict in of_arms.items() if verdict}
    if len(set(known.values())) == 1:
        return next(iter(known.values()))
    return "; ".join(f"arm “{arm}” {verdict}" for arm, verdict in known.items())


def _texts(rows: pd.DataFrame, name: str) -> list[str]:
    """The distinct values of a column of texts, in order."""
    values = rows.reindex(columns=[name])[name].astype("string").fillna("not recorded")
    return [str(value) for value in values.unique()]


def _ends(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    values = _numbers(rows, name)
    return float(values.min()), float(values.max())


def _numbers(rows: pd.DataFrame, name: str) -> pd.Series:
    values = rows.reindex(columns=[name])[name]
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _same(ends: tuple[float, float]) -> bool:
    return ends[1] - ends[0] <= _EQUAL * abs(ends[1])


def _span(ends: tuple[float, float], form: str = "{:.3g}") -> str:
    """`50`, or `12 to 35`; `not recorded`."""
    if math.isnan(ends[0]):
        return "not recorded"
    low, high = (form.format(end) for end in ends)
    return low if _same(ends) else f"{low} to {high}"
