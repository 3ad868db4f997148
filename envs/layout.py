"""What a level looks like to a placement: where its end is, where a coin or an agent can stand.

A cell is `(x, y)`: column from the left, row from the bottom. A game gives one of these by
a function from a fresh `State`; placements use nothing else of the game.
"""

import zlib
from functools import cached_property
from typing import Protocol

Cell = tuple[int, int]
Cells = list[Cell]


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


def shuffled(layout: Layout, cells: Cells, purpose: str) -> Cells:
    """The cells in the level's own random order for a purpose.

    The order of two cells depends on nothing but level, purpose and the cells themselves (each
    has a key, splitmix64 of them), so leaving some out does not change the order of the rest.
    """
    base = _mix64(zlib.crc32(purpose.encode()) << 32 | layout.level_seed)
    if len(cells) < 2:
        return cells[:]
    keys = [_mix64(x * 4096 + y + base) for x, y in cells]
    return [cell for _, cell in sorted(zip(keys, cells, strict=True))]


_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1


def _mix64(z: int) -> int:
    """The output function of splitmix64 (Steele, Lea & Flood 2014)."""
    z = (z + _GAMMA) & _MASK
    z = (z ^ (z >> 30)) * _FIRST & _MASK
    z = (z ^ (z >> 27)) * _SECOND & _MASK
    return z ^ (z >> 31)
