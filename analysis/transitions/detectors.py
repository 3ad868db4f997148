"""The two detectors: how each locates the changes of a series that has any, and their registry."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import ruptures as rpt
from ruptures.base import BaseCost
from ruptures.exceptions import NotEnoughPoints

from analysis.transitions.evidence import LEVEL, any_change_p_value, threshold
from analysis.transitions.model import Change, Detector, fit, measure, prune, refine_locations
from analysis.transitions.noise import Fit
from analysis.transitions.points import Points
from analysis.transitions.segments import MIN_SIZE, segment_costs
from analysis.transitions.shapes import Family, build_family

Array = npt.NDArray[np.float64]
BANDWIDTHS = (1.0, 2.0, 4.0, 8.0)  # checkpoints, standard deviation of the Gaussian kernel
DRAWS = 400
SLOPE_ROUNDS, PELT_ROUNDS = 2, 3
REACH = 3.0  # checkpoints a change may move when locations are refined


def locate_slopes(points: Points, evidence: list[int]) -> list[Change]:
    """Rises and falls between plateaus of a series that has any.

    The derivative is estimated at every checkpoint and bandwidth, and judged against a threshold
    that holds for all of them at once (SiZer, Chaudhuri & Marron 1999, with correlated noise). Runs
    of one sign are rises and falls; each is then measured as a ramp between two plateaus. Smoothing
    runs over checkpoints, that is over log step with a bandwidth that follows the spacing; sign and
    zeros of the derivative do not depend on that choice of axis.

    Args:
        points: of the series.
        evidence: members of the family `ramp` that the test for any change was significant with;
            at least as many are kept.
    """
    tried = build_family("ramp", points.index)
    family = build_family("ramp", points.index, fine=True)
    start = [family.at(tried.location[k], tried.width[k]) for k in evidence]
    chosen = start
    for _ in range(SLOPE_ROUNDS):
        found = _runs(points, family, fit(points, family, chosen))
        kept = found if len(found) >= len(start) else chosen
        chosen = refine_locations(points, family, kept, 1.0)
    chosen = prune(points, family, chosen, keep=len(start), reach=REACH)
    chosen = refine_locations(points, family, chosen, 1.0)
    return measure(points, family, chosen)


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
    for _ in range(PELT_ROUNDS):
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


DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector("derivative", partial(any_change_p_value, name="ramp"), locate_slopes),
        Detector("change_point", partial(any_change_p_value, name="step"), locate_steps),
    )
}


def _runs(points: Points, family: Family, noise: Fit) -> list[int]:
    """Ramps for the runs of significant slope, the finest bandwidth that shows each first."""
    scores, limit = slope_scores(points, noise)
    taken = np.zeros(len(points), dtype=int)
    chosen: list[int] = []
    for row in scores:
        signs = np.where(np.abs(row) > limit, np.sign(row), 0).astype(int)
        ends = np.flatnonzero(np.diff(signs)) + 1
        for low, high in zip([0, *ends], [*(ends - 1), len(signs) - 1], strict=True):
            near = slice(max(low - 1, 0), high + 2)
            if signs[low] == 0 or np.any(taken[near] == signs[low]):
                continue
            taken[low : high + 1] = signs[low]
            peak = low + int(np.argmax(np.abs(row[low : high + 1])))
            chosen.append(family.at(points.index[peak] + 0.5, high - low + 1.0))
    return chosen


def slope_scores(points: Points, noise: Fit) -> tuple[Array, float]:
    """Smoothed derivative over its standard error, and what noise alone rarely exceeds.

    Args:
        points: of a series.
        noise: its correlation and standard deviation.

    Returns:
        Scores at each bandwidth and point, `[h, m]`, and the largest of them all that 95 % of
        series of such noise stay below.
    """
    rows = _slope_rows(tuple(points.index.tolist()))
    distance = np.abs(points.index[:, None] - points.index[None, :])
    root = points.scale[:, None] * np.linalg.cholesky(noise.phi**distance)
    filtered = rows @ root  # what the weights make of white noise, `[h, m, m]`
    size = np.linalg.norm(filtered, axis=-1)
    scores = (rows @ points.values) / np.maximum(noise.sigma * size, 1e-300)
    drawn = np.random.default_rng(0).standard_normal((len(points), DRAWS))
    null = np.abs((filtered / size[..., None]) @ drawn).max(axis=(0, 1))
    return scores, float(np.quantile(null, 1.0 - LEVEL))


@lru_cache(maxsize=64)
def _slope_rows(index: tuple[float, ...]) -> Array:
    """Weights that give the local linear slope at each point, `[h, m, m]`."""
    k = np.asarray(index)
    distance = k[None, :] - k[:, None]
    rows = []
    for bandwidth in BANDWIDTHS:
        w = np.exp(-0.5 * (distance / bandwidth) ** 2) + 1e-12
        s0, s1, s2 = (np.sum(w * distance**p, axis=1, keepdims=True) for p in range(3))
        rows.append(w * (s0 * distance - s1) / (s0 * s2 - s1**2))
    return np.array(rows)


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
