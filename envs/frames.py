"""Copies of the frames of a step, in memory that is used again once nobody holds it."""

import sys

import numpy as np
from numpy.typing import NDArray

_FREE = 3  # references to an array nobody else holds: the list's, the loop's and the call's


class Frames:
    """Makes copies of one array; a copy stays as it is for as long as anything refers to it.

    A view, a tensor or a buffer of a copy refers to it, too. New memory for each copy would be
    given back to the system and fetched again at every step, page by page.
    """

    def __init__(self) -> None:
        self._copies: list[NDArray[np.uint8]] = []

    def copy(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of `frames` uint8 [n, 64, 64, 3]."""
        for copy in self._copies:
            if sys.getrefcount(copy) == _FREE:
                np.copyto(copy, frames)
                return copy
        if len(self._copies) < _KEPT:
            self._copies.append(frames.copy())
            return self._copies[-1]
        return frames.copy()


_KEPT = 4  # copies: a reader of one step, its predecessor, and two to spare
