"""Shapes of a change, as columns of a design: steps, and ramps between two plateaus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
EDGE = 2  # points that must lie on both sides of a change
WIDTHS = (1.0, 4.0, 8.0, 16.0, 24.0)  # checkpoints from the end of one plateau to the next
FINE_WIDTHS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0)  # to measure with


@dataclass(frozen=True)
class Family:
    """Candidate changes: `columns` `[m, k]` rise from 0 to 1, `location` and `width` `[k]`.

    `location` counts checkpoints: the first one past the middle of the change. A ramp of width 1 is
    a step; its column is 0 before `location` and 1 from there on.
    """

    name: str
    columns: Array
    location: Array
    width: Array

    def at(self, location: float, width: float = 1.0) -> int:
        """Number of the member nearest to that location, and of these in width."""
        return int(np.argmin(np.abs(self.location - location) + 1e-3 * np.abs(self.width - width)))

    def begin(self, k: int) -> float:
        """Last checkpoint (a fraction, in a ramp) of the plateau before change k."""
        return float(self.location[k] - 0.5 - 0.5 * self.width[k])

    def end(self, k: int) -> float:
        """First checkpoint of the plateau after change k."""
        return float(self.location[k] - 0.5 + 0.5 * self.width[k])


def ramp(index: Array, location: Array, width: Array) -> Array:
    """The line `(k - location + 1/2) / width + 1/2` at checkpoints k, clipped to [0, 1].

    It is the running integral of a box of that width, so that its coefficient is the derivative of
    the series smoothed over the box.
    """
    return np.clip((index - (location - 0.5)) / width + 0.5, 0.0, 1.0)


def build_family(name: str, index: Array, fine: bool = False) -> Family:
    """All changes of a family (`step` or `ramp`) for a series at these checkpoints, `[m]`.

    The ramps to test with are fewer than the `fine` ones to measure with.
    """
    return _family(name, tuple(index.tolist()), fine)


@lru_cache(maxsize=32)
def _family(name: str, checkpoints: tuple[float, ...], fine: bool) -> Family:
    index = np.array(checkpoints)
    m = len(index)
    some = FINE_WIDTHS if fine else WIDTHS
    widths = some[:1] if name == "step" else tuple(w for w in some if w <= max(1.0, m / 2))
    locations = index[EDGE : m - EDGE + 1]
    location, width = np.tile(locations, len(widths)), np.repeat(widths, len(locations))
    return Family(name, ramp(index[:, None], location, width), location, width)
