"""A mouse, a cheese and a grid: an exact companion of CoinRun.

The mouse moves left, right, down or up, one cell a step; a wall leaves it where it is. The step
onto the cheese earns 1 and ends the episode, every other step earns 0, and a mouse starts anywhere
but on the cheese. In training the cheese mostly lies in the top right corner, so "go to the corner"
earns what "go to the cheese" earns and comes apart from it elsewhere, as "go right" does in CoinRun
(the game of Langosco et al. 2022, arXiv 2105.14111, and of Elliott et al. 2026, arXiv 2601.07524).

A level is a layout and a cell of the cheese. All levels together are one `TabularMDP`, so value,
regret and their gradients are known exactly. A policy sees one-hot planes: the mouse, the cheese,
and the walls where layouts differ or have any.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from envs.game import Cell
from envs.gridworld.layouts import ACTIONS, Layout, layouts_of
from envs.gridworld.placements import CheesePlacement, parse_cheese
from envs.gridworld.settings import GridSettings
from rl_slt import PolicyData, TabularMDP


class GridLevel(NamedTuple):
    """One level: the number of its layout, and the state of the cheese."""

    layout: int
    cheese: int


class CheeseGrid:
    """All levels of a grid, as a decision process, as data, and for the environments.

    Args:
        size: cells in a row, k; text maps have a size of their own.
        discount: gamma, per step.
        walls: None, a share of the cells that are walls at random, or one or several text maps
            (`#` wall, `.` free, rows from the top).
        seed: of random walls.
        layouts: how many layouts with random walls.

    Attributes:
        layouts: the layouts, each with a level for every free cell.
        levels: the L levels.

    Raises:
        InputError: a wrong setting, or a map that is no connected square with a free corner.

    Example:
        >>> grid = CheeseGrid(size=5, discount=0.9)
        >>> float(grid.mdp.optimal_returns().mean())  # discounted by the steps to the cheese
        0.7929...
    """

    def __init__(
        self,
        size: int = 5,
        discount: float = 0.9,
        walls: float | str | Sequence[str] | None = None,
        seed: int = 0,
        layouts: int = 1,
    ) -> None:
        if walls is not None and not isinstance(walls, float | int | str):
            walls = tuple(walls)
        self.settings = GridSettings(size=size, walls=walls, seed=seed, layouts=layouts)
        self.discount = discount
        self.layouts = layouts_of(self.settings)
        self.levels = [GridLevel(i, int(state)) for i, layout in enumerate(self.layouts)
                       for state in layout.states]  # fmt: skip

    @classmethod
    def of(cls, settings: GridSettings, discount: float) -> "CheeseGrid":
        """The grid of some settings."""
        return cls(discount=discount, **dict(settings))

    @property
    def size(self) -> int:
        """Cells in a row, k."""
        return self.layouts[0].size

    @property
    def n_states(self) -> int:
        """S = k^2, the cells of the grid, walls included."""
        return self.size**2

    @cached_property
    def planes(self) -> int:
        """Planes that a policy sees: mouse and cheese, and walls where there are any."""
        return 2 if all(layout.free.all() for layout in self.layouts) else 3

    @property
    def features(self) -> int:
        """F, what a policy sees of a state."""
        return self.planes * self.n_states

    def layout(self, level: int) -> Layout:
        """The layout of a level."""
        return self.layouts[self.levels[level].layout]

    def cheese(self, level: int) -> Cell:
        """Column and row of the cheese."""
        return self.layout(level).cell(self.levels[level].cheese)

    @cached_property
    def observations(self) -> NDArray[np.float32]:
        """What a policy sees of every level with the mouse in every state, `[L, S, F]`."""
        mouse = np.eye(self.n_states)
        found = np.zeros((len(self.levels), self.n_states, self.planes, self.n_states), np.float32)
        for number, level in enumerate(self.levels):
            found[number, :, 0] = mouse
            found[number, :, 1] = mouse[level.cheese]
            if self.planes == 3:
                found[number, :, 2] = ~self.layouts[level.layout].free.ravel()
        return found.reshape(len(self.levels), self.n_states, self.features)

    @cached_property
    def starts(self) -> NDArray[np.float64]:
        """Distribution of the first state, `[L, S]`: uniform over free cells without the cheese."""
        free = np.stack([self.layout(i).free.ravel() for i in range(len(self.levels))])
        free[np.arange(len(self.levels)), [level.cheese for level in self.levels]] = False
        return np.asarray(free / free.sum(axis=1, keepdims=True))

    @cached_property
    def mdp(self) -> TabularMDP:
        """The decision process, float64; its levels count equally."""
        cheese = torch.tensor([level.cheese for level in self.levels])
        terminals = torch.nn.functional.one_hot(cheese, self.n_states).bool()
        after = torch.from_numpy(np.stack([layout.successors for layout in self.layouts]))
        moves = torch.nn.functional.one_hot(after, self.n_states).double()  # [layouts, S, A, S]
        of = torch.tensor([level.layout for level in self.levels])
        arrives = (after[of] == cheese[:, None, None]) & ~terminals[:, :, None]
        return TabularMDP(
            transitions=moves[0] if len(moves) == 1 else moves[of],
            rewards=arrives.double(),
            starts=torch.from_numpy(self.starts),
            discount=self.discount,
            terminals=terminals,
        )

    def probabilities(self, placement: str | CheesePlacement) -> NDArray[np.float64]:
        """Of each level, `[L]`, under a placement of the cheese and equally many of each layout."""
        parsed = parse_cheese(placement)
        by_layout = [parsed.probabilities(layout) for layout in self.layouts]
        return np.array([by_layout[i][cheese] for i, cheese in self.levels]) / len(self.layouts)

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """Starts from which no shortest way to cheese or corner passes the other, `[L, S]`."""
        found = np.zeros((len(self.levels), self.n_states), np.bool_)
        for number, (of, cheese) in enumerate(self.levels):
            layout = self.layouts[of]
            to = layout.distances
            between = to[cheese, layout.corner]
            found[number] = (to[:, layout.corner] + between > to[:, cheese]) & (
                to[:, cheese] + between > to[:, layout.corner]
            )
            found[number, ~layout.free.ravel()] = False
            if cheese == layout.corner:
                found[number] = False
        return found

    def data(
        self, alpha: float | None = None, placement: str | CheesePlacement = "corner"
    ) -> PolicyData:
        """One sample a level, weighted as training weighs it.

        Args:
            alpha: probability of a cheese that lies anywhere, else it lies in the corner; in the
                place of `placement`.
            placement: of the cheese.

        Returns:
            States `[L, S, F]`, and weights `[L]` with mean 1.
        """
        if alpha is not None:
            placement = f"mix:{alpha!r}:anywhere:corner"
        weights = torch.from_numpy(self.probabilities(placement) * len(self.levels))
        return PolicyData(torch.from_numpy(self.observations), weights=weights.float())

    def text(self, level: int, mouse: Cell | None = None) -> str:
        """A level as text: `#` wall, `.` free, `*` the cheese, `@` the mouse; rows from the top."""
        rows = [list(row) for row in str(self.layout(level)).splitlines()]
        for cell, sign in ((self.cheese(level), "*"), (mouse, "@")):
            if cell is not None:
                rows[self.size - 1 - cell[1]][cell[0]] = sign
        return "\n".join(map("".join, rows))


N_ACTIONS = len(ACTIONS)
