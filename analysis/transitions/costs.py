"""A cost for `ruptures`: level shifts under AR(1) noise of known correlation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ruptures.base import BaseCost
from ruptures.exceptions import NotEnoughPoints

from analysis.transitions.points import Points
from analysis.transitions.segments import MIN_SIZE, segment_costs

Array = npt.NDArray[np.float64]


class CostAR1(BaseCost):
    """Generalised squared error of a segment around its own level, over sigma^2.

    The formula is that of `segment_costs`.
    """

    model = "ar1_level"
    min_size = MIN_SIZE

    def __init__(self, points: Points, phi: float, sigma: float) -> None:
        self.signal: Array = points.values[:, None]
        self._table = segment_costs(points.values[None], points.axis, phi)[0] / sigma**2

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
