"""Maze: the cheese in the corner region (`end`), anywhere (`ground`), or nowhere.

The agent starts at the lower left; the corner region is the upper right 5 by 5 cells, as in
Langosco et al. 2022. Level settings that name parts of CoinRun levels mean nothing here.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell, Cells, ProcgenGame, shuffled
from envs.placements import parse_placement
from envs.state import State, X, Y

CHEESE, EMPTY = 2, 100
REGION = 5  # cells, each way


class MazeLayout:
    """A maze; see `envs.game.Layout`."""

    supports = frozenset({"end", "ground", "none", "at", "both"})

    def __init__(self, state: State) -> None:
        self.level_seed = state.step_field("level_seed")
        self._free: NDArray[np.bool_] = (state.grid == EMPTY) | (state.grid == CHEESE)
        x, y = state.agent_xy
        self.spawn: Cell = (int(x), int(y))

    @cached_property
    def _cells(self) -> Cells:
        cells = [(x, y) for y, x in np.argwhere(self._free).tolist()]
        return [cell for cell in cells if cell != self.spawn]

    @cached_property
    def end(self) -> Cell:
        """A cell of the corner region, uniformly drawn for the level."""
        right, top = (max(place) for place in zip(*self._cells, strict=True))
        region = [(x, y) for x, y in self._cells if x > right - REGION and y > top - REGION]
        return shuffled(self, region, "corner")[0]

    @property
    def coin_cells(self) -> Cells:
        """All corridors but the agent's own cell (a maze is one connected piece)."""
        return self._cells

    @property
    def start_cells(self) -> Cells:
        """All corridors."""
        return self._cells

    @property
    def section_cells(self) -> Cells:
        """None: a maze has no sections."""
        return []

    def is_free(self, cell: Cell) -> bool:
        """A corridor other than the agent's cell."""
        x, y = cell
        height, width = self._free.shape
        inside = 0 <= x < width and 0 <= y < height
        return inside and cell != self.spawn and bool(self._free[y, x])


def write_agent(state: State, cell: Cell) -> None:
    """Put the agent into a cell."""
    state.entities[0, [X, Y]] = np.array(cell) + 0.5


def touches(xy: NDArray[np.float32], cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether the agents at xy [n, 2] are in these cells [n, 2]."""
    return np.asarray((np.floor(xy) == cell).all(axis=1))


GAME = ProcgenGame(
    name="maze",
    parse_coin=parse_placement,
    modes=("easy", "hard", "memory"),
    layout=MazeLayout,
    write_agent=write_agent,
    touches=touches,
    coin=CHEESE,
    empty=(EMPTY,),
    time_limit=500,
    own_fields=2,
)
