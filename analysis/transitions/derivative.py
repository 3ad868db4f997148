"""Detector `derivative`: where the smoothed derivative over log step departs from zero.

Smoothing runs over checkpoints, that is over log step with a bandwidth that follows the spacing;
sign and zeros of the derivative do not depend on that choice of axis.
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from analysis.transitions.evidence import LEVEL, any_change_p_value
from analysis.transitions.model import (
    Change,
    Detector,
    fit,
    measure,
    prune,
    refine_locations,
)
from analysis.transitions.noise import Fit
from analysis.transitions.points import Points
from analysis.transitions.shapes import Family, build_family

Array = npt.NDArray[np.float64]
BANDWIDTHS = (1.0, 2.0, 4.0, 8.0)  # checkpoints, standard deviation of the Gaussian kernel
DRAWS = 400
ROUNDS = 2
REACH = 3.0  # checkpoints a change may move when another is taken away


def locate_slopes(points: Points, evidence: list[int]) -> list[Change]:
    """Rises and falls between plateaus of a series that has any.

    The derivative is estimated at every checkpoint and bandwidth, and judged against a threshold
    that holds for all of them at once (SiZer, Chaudhuri & Marron 1999, with correlated noise). Runs
    of one sign are rises and falls; each is then measured as a ramp between two plateaus.

    Args:
        points: of the series.
        evidence: members of the family `ramp` that the test for any change was significant with;
            at least as many are kept.
    """
    tried = build_family("ramp", points.index)
    family = build_family("ramp", points.index, fine=True)
    start = [family.at(tried.location[k], tried.width[k]) for k in evidence]
    chosen = start
    for _ in range(ROUNDS):
        found = _runs(points, family, fit(points, family, chosen))
        kept = found if len(found) >= len(start) else chosen
        chosen = refine_locations(points, family, kept, 1.0)
    chosen = prune(points, family, chosen, keep=len(start), reach=REACH)
    chosen = refine_locations(points, family, chosen, 1.0)
    return measure(points, family, chosen)


DETECTOR = Detector(
    "derivative", test=partial(any_change_p_value, name="ramp"), locate=locate_slopes
)


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
