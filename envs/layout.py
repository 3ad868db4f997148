"""What a level looks like to a placement: where its end is, where a coin or an agent can stand.

A cell is `(x, y)`: column from the left, row from the bottom. A game gives one of these by
a function from a fresh `State`; placements use nothing else of the game.
"""

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

    @property
    def hazards(self) -> dict[str, Cells]:
        """Cells of `saw`, `lava` and `enemy`, where there are any."""
        ...

    def is_free(self, cell: Cell) -> bool:
        """Whether a coin can be put here by hand: empty and inside the level."""
        ...


def rng(layout: Layout, purpose: str) -> np.random.Generator:
    """The generator of one level for one purpose: the same under every placement."""
    return np.random.default_rng([layout.level_seed, *purpose.encode()])


def shuffled(layout: Layout, cells: Cells, purpose: str) -> list[Cell]:
    """The cells in the level's own random order."""
    return [(int(x), int(y)) for x, y in rng(layout, purpose).permutation(cells)]
