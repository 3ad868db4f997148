"""Copies of the frames of a step, in memory that is used again once nobody holds it."""

import sys

import numpy as np
from numpy.typing import NDArray

_KEPT = 4  # copies: a reader of one step, its predecessor, and two to spare


class Frames:
    """Makes copies of one array; a copy stays as it is for as long as anything refers to it.

    Whatever still shows a copy refers to its array object: a view of it or of a view, a tensor of
    `torch.from_numpy`, a memoryview, a DLPack capsule. So its memory is used again exactly where
    Python would give the memory of an ordinary array back. (New memory for each copy would be
    given back to the system and fetched again at every step, page by page.)
    """

    def __init__(self) -> None:
        self._copies: list[NDArray[np.uint8]] = []

    def _free(self) -> NDArray[np.uint8] | None:
        """A copy that nobody else holds."""
        for copy in self._copies:
            if sys.getrefcount(copy) == _UNHELD:
                return copy
        return None

    def copy(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of `frames` uint8 [n, 64, 64, 3]."""
        free = self._free()
        if free is not None:
            np.copyto(free, frames)
            return free
        new = frames.copy()
        if len(self._copies) < _KEPT:
            self._copies.append(new)
        return new


def _unheld() -> int:
    """What `sys.getrefcount` says in `_free` of a copy that only its list holds.

    Asked of the interpreter, as some count fewer references of local variables than others.
    """
    copies = [np.zeros(1, np.uint8)]
    for copy in copies:
        return sys.getrefcount(copy)
    raise AssertionError


_UNHELD = _unheld()
