"""What a level looks like to a placement: where its end is, where a coin or an agent can stand.

A cell is `(x, y)`: column from the left, row from the bottom. A game gives one of these by
a function from a fresh `State`; placements use nothing else of the game.
"""

import zlib
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Cell = tuple[int, int]
Cells = NDArray[np.int64]  # [k, 2]


class Layout(Protocol):
    """One level, before anything in it is moved."""

    level_seed: int
    supports: frozenset[str]  # names of the placements that make sense here

    @property
    def end(self) -> Cell:
        """The cell of the stock goal (or of the goal's region)."""
        ...

    @property
    def spawn(self) -> Cell:
        """The cell where the agent starts in the stock game."""
        ...

    @cached_property
    def coin_cells(self) -> Cells:
        """Cells where a coin can lie: free, reachable, harmless."""
        ...

    @cached_property
    def start_cells(self) -> Cells:
        """Cells in mid-level where the agent can start and nothing kills it at once."""
        ...

    @cached_property
    def section_cells(self) -> Cells:
        """First column of every section, on the ground."""
        ...

    def is_free(self, cell: Cell) -> bool:
        """Whether a coin can be put here by hand: empty and inside the level."""
        ...


def shuffled(layout: Layout, cells: Cells, purpose: str) -> list[Cell]:
    """The cells in the level's own random order for a purpose.

    The order of two cells depends on nothing but level, purpose and the cells themselves (each
    has a key, splitmix64 of them), so leaving some out does not change the order of the rest.
    """
    base = _mix64_int(zlib.crc32(purpose.encode()) << 32 | layout.level_seed)
    keys = _mix64((cells[:, 0] * 4096 + cells[:, 1]).astype(np.uint64) + np.uint64(base))
    return [(x, y) for x, y in cells[np.argsort(keys, kind="stable")].tolist()]


_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mix64(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of splitmix64 (Steele, Lea & Flood 2014), on arrays."""
    z = z + np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def _mix64_int(z: int) -> int:
    """The same on one number, where numpy is slow."""
    mask = 2**64 - 1
    z = (z + _GAMMA) & mask
    z = (z ^ (z >> 30)) * _FIRST & mask
    z = (z ^ (z >> 27)) * _SECOND & mask
    return z ^ (z >> 31)
