"""X axes: environment steps on a log scale that all figures share, and linear ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from analysis.report.data import StudyData
from analysis.report.labels import short
from analysis.report.queries import (
    coin_rows,
    influence_rows,
    llc_rows,
    main_probe_rows,
    once,
    susceptibility_rows,
)

_MANY = 4
_SLACK = 0.02  # so that a run of 999,424 steps still gets its tick at 1M


@once
def shared_axis(data: StudyData) -> dict[str, Any]:
    """The one axis of environment steps; of training curves, what comes after the first estimate.

    Earlier updates would stretch the log axis to where nothing else was measured.
    """
    of = (llc_rows, main_probe_rows, coin_rows, influence_rows, susceptibility_rows)
    tables = [rows(data) for rows in of]
    steps = [float(s) for table in tables if len(table) for s in table["step"]]
    first = min((s for s in steps if s > 0), default=0.0)
    curves = [run.progress["step"] for run in data.runs if len(run.progress)]
    return step_axis([*steps, *(float(s) for curve in curves for s in curve if s >= first)])


def step_axis(steps: Iterable[float]) -> dict[str, Any]:
    """Positions of ticks and of step 0 on a log axis.

    A positive step stands at its decimal logarithm, step 0 at `zero`, left of the smallest positive
    step; `cut` is where the axis is broken, None if there is no step 0.

    Returns:
        zero, cut, range (both ends), ticks (position and label).
    """
    known = sorted({float(s) for s in steps if math.isfinite(s) and s >= 0})
    positive = [s for s in known if s > 0]
    first, last = (math.log10(positive[0]), math.log10(positive[-1])) if positive else (0.0, 1.0)
    span = max(last - first, 0.5)
    has_zero = bool(known) and known[0] == 0
    zero = first - 0.16 * span
    left = zero if has_zero else first
    ticks = [(zero, "0")] if has_zero else []
    ticks += [(math.log10(s), short(s)) for s in _tick_steps(first, first + span)]
    return {
        "zero": zero,
        "cut": (zero + first) / 2 if has_zero else None,
        "range": [left - 0.05 * span, max(last, first + span) + 0.05 * span],
        "ticks": [{"at": at, "label": label} for at, label in ticks],
    }


def log_axis(word: str, values: Iterable[float]) -> dict[str, Any]:
    """A log axis of positive values of something else than steps, with a tick at each.

    `word` says at the pointer what x is.
    """
    known = sorted({float(v) for v in values if v > 0})
    ticks = [{"at": math.log10(v), "label": short(v)} for v in known]
    return step_axis(known) | {"word": word, "ticks": ticks or step_axis([])["ticks"]}


def linear_axis(word: str, range_: tuple[float, float], ticks: Iterable[float]) -> dict[str, Any]:
    """A linear axis with ticks at the given places; `word` says at the pointer what x is."""
    return {
        "linear": True, "word": word, "zero": 0.0, "cut": None, "range": list(range_),
        "ticks": [{"at": at, "label": f"{at:g}"} for at in ticks],
    }  # fmt: skip


def _tick_steps(first: float, last: float) -> list[float]:
    decades = range(math.floor(first), math.ceil(last) + 1)
    inside = [10.0**d for d in decades if first - _SLACK <= d <= last + _SLACK]
    if len(inside) >= _MANY:
        return inside
    fine = [m * 10.0**d for d in decades for m in (1, 3)]
    return [s for s in fine if first - _SLACK <= math.log10(s) <= last + _SLACK]
