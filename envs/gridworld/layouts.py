"""Where a mouse can go: square grids with and without walls, as text and at random.

A cell is `(x, y)`: column from the left, row from the bottom. Its state is `s = y * size + x`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell
from envs.gridworld.settings import GridSettings
from rl_slt import InputError

ACTIONS = {"left": (-1, 0), "right": (1, 0), "down": (0, -1), "up": (0, 1)}  # moves, in order
WALL, FREE = "#", "."


@dataclass(frozen=True, eq=False)
class Layout:
    """The free cells of a square grid, all connected, the top right corner among them.

    Attributes:
        free: bool `[size, size]`, row y from the bottom, column x from the left.

    Raises:
        InputError: the grid is not square, not connected, or its corner is a wall.
    """

    free: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = self.free.shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
            raise InputError.of("size of the grid", shape, "square, 2 cells or more wide")
        if not self.free[-1, -1]:
            raise InputError("walls: must leave the top right corner free")
        if not _connected(self.free) or self.free.sum() < 2:
            raise InputError("walls: must leave free cells that are connected, two or more")

    @property
    def size(self) -> int:
        """Cells in a row, k."""
        return len(self.free)

    @property
    def corner(self) -> int:
        """State of the top right corner."""
        return self.size**2 - 1

    @cached_property
    def states(self) -> NDArray[np.int64]:
        """States of the free cells, ascending."""
        return np.flatnonzero(self.free)

    @cached_property
    def successors(self) -> NDArray[np.int64]:
        """State after each action, `[S, A]`; a wall or the border leaves the mouse where it is."""
        here = np.arange(self.size**2)
        y, x = np.divmod(here, self.size)
        after = []
        for right, up in ACTIONS.values():
            column = np.clip(x + right, 0, self.size - 1)
            row = np.clip(y + up, 0, self.size - 1)
            goes = self.free[row, column] & self.free.ravel()  # who stands in a wall stays there
            after.append(np.where(goes, row * self.size + column, here))
        return np.stack(after, axis=1)

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Fewest steps from state to state, `[S, S]`; infinite where a wall is."""
        pairs = np.repeat(np.arange(self.size**2), len(ACTIONS)), self.successors.ravel()
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        graph = csr_array((np.ones(len(pairs[0])), pairs), shape=(self.size**2,) * 2)
        found: NDArray[np.float64] = shortest_path(graph, unweighted=True)
        found[~self.free.ravel()] = np.inf
        return found

    def cell(self, state: int) -> Cell:
        """Column and row of a state."""
        y, x = divmod(int(state), self.size)
        return x, y

    def __str__(self) -> str:
        rows = ("".join(FREE if free else WALL for free in row) for row in self.free[::-1])
        return "\n".join(rows)


def parse_layout(text: str) -> Layout:
    r"""The layout that a text draws: a line for each row from the top, `#` walls, `.` free cells.

    Raises:
        InputError: another character, lines of different lengths, or what `Layout` refuses.

    Example:
        >>> parse_layout("...\n.#.\n...").distances[0, 8]
        np.float64(4.0)
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines or {*"".join(lines)} - {WALL, FREE} or len({*map(len, lines)}) != 1:
        raise InputError.of("walls", text, f"lines of equal length of {WALL} (wall) and {FREE}")
    return Layout(np.array([[char == FREE for char in line] for line in lines[::-1]]))


def random_layout(size: int, share: float, generator: np.random.Generator) -> Layout:
    """A layout with walls at random, as many as the share of all cells that stays connected.

    Cells become walls in a random order, all but those without which the rest falls apart.
    """
    free = np.ones((size, size), np.bool_)
    left = round(share * size**2)
    for state in generator.permutation(size**2 - 1):  # never the corner
        if not left:
            break
        free.flat[state] = False
        if _connected(free):
            left -= 1
        else:
            free.flat[state] = True
    return Layout(free)


def _connected(free: NDArray[np.bool_]) -> bool:
    from scipy.ndimage import label  # half a second, which no other game needs

    return bool(label(free)[1] == 1)


def layouts_of(settings: GridSettings) -> tuple[Layout, ...]:
    """The layouts of some settings.

    Raises:
        InputError: what `Layout` refuses, or maps of different sizes.
    """
    walls = settings.walls
    if isinstance(walls, str | tuple):
        found = tuple(map(parse_layout, (walls,) if isinstance(walls, str) else walls))
        if len({layout.size for layout in found}) != 1:
            raise InputError("walls: must be maps of one size, one or more")
        return found
    size, share, generator = settings.size, walls or 0.0, np.random.default_rng(settings.seed)
    return tuple(random_layout(size, share, generator) for _ in range(settings.layouts))
