"""A cost for `ruptures`: level shifts under AR(1) noise of known correlation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ruptures.base import BaseCost
from ruptures.exceptions import NotEnoughPoints

from analysis.transitions.noise import whiten
from analysis.transitions.points import Points

Array = npt.NDArray[np.float64]


class CostAR1(BaseCost):
    """Generalised squared error of a segment around its own level, over sigma^2.

    Each segment starts anew from the stationary law, so that costs of segments add up:
    `c(a, b) = min_mu (y_a - mu)^2 + sum_{a < t < b} (u_t - r_t u_{t-1})^2 / (1 - r_t^2)` with
    `u = y - mu` and `r_t = phi^gap_t`.
    """

    model = "ar1_level"
    min_size = 2

    def __init__(self, points: Points, phi: float, sigma: float) -> None:
        self.signal: Array = (points.values / points.scale)[:, None]
        y = self.signal[:, 0] / sigma
        one = 1.0 / points.scale
        e = whiten(np.column_stack([y, one]), phi, points.gaps)
        self._table = _costs(y, one, e[:, 0], e[:, 1])

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


def _costs(y: Array, one: Array, ey: Array, e1: Array) -> Array:
    """All segment costs, `[m + 1, m + 1]`; entry (a, b) holds the segment `[a, b)`."""
    m = len(y)

    def sums(first: Array, later: Array) -> Array:
        total = np.concatenate([[0.0], np.cumsum(later)])
        return total[None, :] - np.append(total[1:], 0.0)[:, None] + np.append(first, 0.0)[:, None]

    yy, y1, one2 = sums(y * y, ey * ey), sums(y * one, ey * e1), sums(one * one, e1 * e1)
    inside = np.arange(m + 1)[None, :] > np.arange(m + 1)[:, None]
    cost = yy - y1**2 / np.where(inside, np.maximum(one2, 1e-300), 1.0)
    return np.where(inside, np.maximum(cost, 0.0), 0.0)
