"""Detector `change_point`: level shifts by PELT, once the evidence for any is significant."""

from __future__ import annotations

import numpy as np
import ruptures as rpt

from analysis.transitions.costs import CostAR1
from analysis.transitions.evidence import LEVEL, threshold, weigh
from analysis.transitions.model import Change, fit, measure, prune, settle
from analysis.transitions.points import Points
from analysis.transitions.shapes import Family, build_family

NAME = "change_point"
ROUNDS = 3
REACH = 3.0  # checkpoints a change may move when places are settled


def find_change_points(points: Points) -> tuple[list[Change], float]:
    """Changes of level and the p-value of there being any.

    PELT (`ruptures`, jump 1) places the changes with the cost `CostAR1`; correlation and noise
    come from the fit itself, in turns. The penalty is the test's own threshold, so that a change
    more must be worth what the first one had to be.
    """
    family = build_family("step", points.index)
    evidence = weigh(points, family)
    if evidence.p_value > LEVEL:
        return [], evidence.p_value
    chosen = evidence.chosen
    for _ in range(ROUNDS):
        found = _pelt(points, family, chosen)
        if len(found) < len(evidence.chosen) or sorted(found) == sorted(chosen):
            break
        chosen = found
    chosen = settle(points, family, chosen, REACH)
    chosen = prune(points, family, chosen, keep=len(evidence.chosen), reach=REACH)
    chosen = settle(points, family, chosen, REACH)
    return measure(points, family, chosen), evidence.p_value


def _pelt(points: Points, family: Family, chosen: list[int]) -> list[int]:
    """One PELT run at the noise of the present fit; changes as members of the family."""
    noise = fit(points, family, chosen)
    sigma = max(noise.sigma, 1e-9 * float(np.max(np.abs(points.values))), 1e-300)
    cost = CostAR1(points, noise.phi, sigma)
    search = rpt.Pelt(custom_cost=cost, min_size=2, jump=1).fit(cost.signal)
    ends = search.predict(pen=2.0 * threshold(family.name, len(points)))[:-1]
    return [family.at(points.index[end]) for end in ends]
