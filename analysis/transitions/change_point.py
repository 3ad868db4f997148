"""Detector `change_point`: level shifts, placed by PELT."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import ruptures as rpt
from ruptures.base import BaseCost
from ruptures.exceptions import NotEnoughPoints

from analysis.transitions.evidence import any_change_p_value, threshold
from analysis.transitions.model import (
    Change,
    Detector,
    fit,
    measure,
    prune,
    refine_locations,
)
from analysis.transitions.points import Points
from analysis.transitions.segments import MIN_SIZE, segment_costs
from analysis.transitions.shapes import build_family

Array = npt.NDArray[np.float64]
ROUNDS = 3
REACH = 3.0  # checkpoints a change may move when locations are refined


def locate_steps(points: Points, evidence: list[int]) -> list[Change]:
    """Changes of level of a series that has any.

    PELT (Killick et al. 2012, arXiv 1101.1438; `ruptures`, jump 1) places the changes with the
    cost `CostAR1`; correlation and noise come from the fit itself, in turns. The penalty is the
    test's own threshold, so that a change more must be worth what the first one had to be.

    Args:
        points: of the series.
        evidence: members of the family `step` that the test for any change was significant with;
            at least as many are kept.
    """
    family = build_family("step", points.index)
    chosen = evidence
    for _ in range(ROUNDS):
        noise = fit(points, family, chosen)
        sigma = max(noise.sigma, 1e-9 * float(np.max(np.abs(points.values))), 1e-300)
        cost = CostAR1(points, noise.phi, sigma)
        search = rpt.Pelt(custom_cost=cost, min_size=2, jump=1).fit(cost.signal)
        ends = search.predict(pen=2.0 * threshold(family.name, len(points)))[:-1]
        found = [family.at(points.index[end]) for end in ends]
        if len(found) < len(evidence) or sorted(found) == sorted(chosen):
            break
        chosen = found
    chosen = refine_locations(points, family, chosen, REACH)
    chosen = prune(points, family, chosen, keep=len(evidence), reach=REACH)
    chosen = refine_locations(points, family, chosen, REACH)
    return measure(points, family, chosen)


DETECTOR = Detector(
    "change_point", test=partial(any_change_p_value, name="step"), locate=locate_steps
)


class CostAR1(BaseCost):
    """A cost for `ruptures`: `segment_costs` over sigma^2, at a known correlation."""

    model = "ar1_level"
    min_size = MIN_SIZE

    def __init__(self, points: Points, phi: float, sigma: float) -> None:
        self.signal: Array = points.values[:, None]
        self._table = segment_costs(points.values[None], points, phi)[0] / sigma**2

    def fit(self, signal: Array) -> CostAR1:
        """Nothing to do: the costs belong to the points given at the start."""
        return self

    def error(self, start: int, end: int) -> float:
        """Cost of the segment `[start, end)`.

        Raises:
            NotEnoughPoints: if the segment is shorter than `min_size`.
        """
        if end - start < self.min_size:
            raise NotEnoughPoints
        return float(self._table[start, end])
