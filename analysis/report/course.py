"""The course of the goal along training in words: which probe passed one half, and when.

An agent may first learn a proxy that fails later probes, such as to go left. So for each arm the
steps are told between which a probe's share passed one half for sure: at the first its interval
lies below, at the second above (or the reverse), and in between, if at all, on both sides. Of a
return, whose half means nothing, it is told where it began and ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.probes import PROBES
from analysis.report import labels, queries
from analysis.report.data import StudyData
from analysis.report.seed_means import SHARE, mean_curve

_HALF = 0.5


@dataclass(frozen=True)
class Crossing:
    """A probe's share passes one half, up or down.

    Attributes:
        probe: its name.
        after: the last step at which it was surely on the other side; None: never was before.
        step: the first step at which it surely is on this one.
        up: whether it rose.
        share: the share at `step`, as text with its interval.
    """

    probe: str
    after: int | None
    step: int
    up: bool
    share: str

    @property
    def when(self) -> str:
        """`between steps 4,096 and 12,288`; `first at step 512`: it never surely was below.

        Step 0 of a branch has the weights that it begins with, which are trained.
        """
        if self.after is None and self.step == 0:
            return "from the start, at step 0"
        if self.after is None:
            return f"first at step {self.step:,}"
        return f"between steps {self.after:,} and {self.step:,}"


def crossings(data: StudyData, arm: str) -> list[Crossing]:
    """All crossings of an arm's probes, in the order of their steps."""
    shares = {probe: of for probe, of in _curves(data, arm).items() if queries.gives_share(probe)}
    found = [one for probe, curve in shares.items() for one in _of(probe, curve)]
    return sorted(found, key=lambda one: (one.step, one.probe))


def course_sentences(data: StudyData) -> list[str]:
    """The course of the goal, a sentence for each arm that has probes at several steps."""
    return [text for arm in data.arms if (text := _sentence(data, arm))]


def first_proxy(data: StudyData, arm: str) -> str:
    """What an arm learns before it masters its levels, as `goes left (first at step 8,192)`.

    That is the proxy of the first probe to rise above one half while the probe with the coin at the
    end (from the same kind of start) is surely below; empty where there is none.
    """
    curves = _curves(data, arm)
    for one in crossings(data, arm):
        proxy = PROBES[one.probe].proxy if one.probe in PROBES else ""
        if one.up and proxy and _below(curves, PROBES[one.probe].mastery, one.step):
            return f"{proxy} ({one.when})"
    return ""


def _sentence(data: StudyData, arm: str) -> str:
    curves = _curves(data, arm)
    if max((len(curve) for curve in curves.values()), default=0) < 2:
        return ""
    parts = []
    for one in crossings(data, arm):
        verb = "passes one half" if one.up else "falls below one half"
        verb = "is above one half" if one.after is None else verb
        part = f"{labels.probe_title(one.probe)} {verb} {one.when} ({one.share} then)"
        proxy = PROBES[one.probe].proxy if one.probe in PROBES else ""
        mastery = PROBES[one.probe].mastery if proxy else ""
        if one.up and proxy and _below(curves, mastery, one.step):
            at = curves[mastery][curves[mastery]["step"] == one.step].iloc[0]
            part += f", while {labels.probe_title(mastery)} is at {_text(at)}: so far it {proxy}"
        parts.append(part)
    for probe in [probe for probe in curves if not queries.gives_share(probe)]:
        ends = [curves[probe].iloc[k] for k in (0, -1)]
        told = " and ".join(f"{_text(at)} at step {at['step']:,.0f}" for at in ends)
        parts.append(f"{labels.probe_title(probe)}: {PROBES[probe].measure} {told}")
    passed = {one.probe for one in crossings(data, arm)}
    never = [probe for probe in curves if queries.gives_share(probe) and probe not in passed]
    if never:
        names = labels.listed([labels.probe_title(p) for p in never])
        parts.append(f"{names}: never surely above one half")
    seeds = max(int(curve["n"].max()) for curve in curves.values())
    of = f", mean of {seeds} seeds" if seeds > 1 else ", one agent"
    return f"Arm “{arm}”{of}: {'; '.join(parts)}."


@queries.once
def _curves(data: StudyData, arm: str) -> dict[str, pd.DataFrame]:
    """Of each probe its main metric by step: columns step, mean, low, high, n."""
    rows = queries.main_probe_rows(data)
    mine = rows[rows["arm"] == arm].dropna(subset=["value"])
    several = mine["run"].nunique() > 1
    out = {}
    for probe in queries.probes_in_order(mine):
        part = mine[mine["probe"] == probe]
        if several:
            curve = mean_curve(part, "value", SHARE)
        else:
            names = {"value": "mean", "ci_low": "low", "ci_high": "high"}
            curve = part.rename(columns=names)[["step", *names.values()]].assign(n=1)
        out[probe] = curve.astype(float).dropna().sort_values("step", ignore_index=True)
    return {probe: curve for probe, curve in out.items() if len(curve)}


def _of(probe: str, curve: pd.DataFrame) -> list[Crossing]:
    side = np.where(curve["low"] > _HALF, 1, np.where(curve["high"] < _HALF, -1, 0)).tolist()
    found: list[Crossing] = []
    last: tuple[int, int] | None = None  # the side that was sure, and its latest step
    for k, sure in enumerate(side):
        step = int(curve["step"].iloc[k])
        if sure == 0:
            continue
        if (last is None and sure > 0) or (last is not None and sure != last[0]):
            after = last[1] if last else None
            found.append(Crossing(probe, after, step, sure > 0, _text(curve.iloc[k])))
        last = (int(sure), step)
    return found


def _below(curves: dict[str, pd.DataFrame], probe: str, step: int) -> bool:
    curve = curves.get(probe)
    return curve is not None and bool((curve["high"][curve["step"] == step] < _HALF).any())


def _text(row: pd.Series) -> str:
    return f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
