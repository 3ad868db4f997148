"""CoinRun: its cells, its layout read from a fresh state, and how coin and agent are written."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.layout import Cell, Cells
from envs.state import RY, VX, VY, State, X, Y

COIN, EMPTY, BARRIER = 1, 100, 19
WALLS, LAVA = (15, 16), (17, 18)
SAW, ENEMY, CRATE = 2, 5, 20
CEILING = 63
MAX_GAP, MAX_RISE = 8, 5  # columns and rows that a running jump crosses
TOUCH = 0.001  # procgen shrinks the agent's box by this when it looks for cells (POS_EPS)
ACTIONS = 15


class CoinRunLayout:
    """A CoinRun level; see `envs.layout.Layout`."""

    supports = frozenset({"end", "section", "ground", "behind", "none", "at", "both"})
    spawn: Cell = (1, 1)

    def __init__(self, state: State) -> None:
        self.level_seed = state.step_field("level_seed")
        self.grid: NDArray[np.int8] = state.grid.astype(np.int8)
        coins = np.flatnonzero(self.grid == COIN)
        if len(coins) != 1:
            raise ValueError("the state is not a fresh CoinRun level with one coin")
        y, x = divmod(int(coins[0]), self.grid.shape[1])
        self.end: Cell = (x, y)
        cells = state.entities[1:, :2].astype(np.int64)
        kinds = state.kinds[1:]
        self.saws, self.enemies, self.crates = (cells[kinds == k] for k in (SAW, ENEMY, CRATE))

    @cached_property
    def _solid(self) -> NDArray[np.bool_]:
        return (self.grid == WALLS[0]) | (self.grid == WALLS[1])

    @cached_property
    def _free(self) -> NDArray[np.bool_]:
        free = self.grid == EMPTY
        if not len(self.enemies):  # a barrier taken out would let the enemies through
            free |= self.grid == BARRIER
        for objects in (self.saws, self.enemies, self.crates):
            free[objects[:, 1], objects[:, 0]] = False
        return free

    @cached_property
    def surface(self) -> NDArray[np.int64]:
        """Row above the highest solid cell below the ceiling, by column [64]."""
        return CEILING - np.argmax(self._solid[CEILING - 1 :: -1], axis=0)

    @cached_property
    def coin_cells(self) -> Cells:
        """Standable, reachable cells strictly between spawn and end, one a column."""
        x = np.arange(self.spawn[0] + 1, self.end[0])
        y = self.surface[x]
        fine = self._free[y, x]
        cells = np.array([x[fine], y[fine]]).T
        steps = cells - np.concatenate([[self.spawn], cells[:-1]])
        reachable = np.logical_and.accumulate((steps <= (MAX_GAP, MAX_RISE)).all(axis=1))
        return cells[reachable]

    @cached_property
    def start_cells(self) -> Cells:
        """Standable cells on firm ground, away from saws and enemies, not beside spawn or end.

        Crowded levels: as far from the enemies as it goes, but never beside one.
        """
        x, y = self.coin_cells.T
        firm = np.add.accumulate(self._solid, axis=0)[y - 1, x] == y
        fine = firm & (x >= self.spawn[0] + 3) & (x <= self.end[0] - 2)
        fine &= self._away(self.saws, 1)
        tiers = (fine & self._away(self.enemies, margin) for margin in (3, 2, 1))
        return self.coin_cells[next((tier for tier in tiers if tier.any()), fine & False)]

    def _away(self, objects: Cells, margin: int) -> NDArray[np.bool_]:
        """Which coin cells [k] have none of the objects within `margin` columns."""
        x, y = self.coin_cells.T
        aside = abs(x[:, None] - objects[:, 0]) > margin
        above = abs(y[:, None] - objects[:, 1]) > 3
        away: NDArray[np.bool_] = (aside | above).all(axis=1)
        return away

    @cached_property
    def section_cells(self) -> Cells:
        """First column of each section, from the grid.

        The first section starts at column 5. Later ones show as a change of ground height, or
        (flat levels) as two enemy barriers side by side: one ends a section and one starts it.
        Pits are no ground: all their columns hold lava, a saw, an enemy or a thin platform.
        """
        x = np.arange(5, self.end[0])
        x = x[self._free[self.surface[x], x] | self._crated[self.surface[x], x]]
        x = x[np.add.accumulate(self._solid, axis=0)[self.surface[x] - 1, x] == self.surface[x]]
        y = self.surface[x]
        barriers = (self.grid[y, x] == BARRIER) & (self.grid[y, x - 1] == BARRIER)
        starts = barriers | (y != np.concatenate([[0], y[:-1]]))
        return np.array([x, y]).T[starts]

    @cached_property
    def _crated(self) -> NDArray[np.bool_]:
        crated = np.zeros(self.grid.shape, np.bool_)
        crated[self.crates[:, 1], self.crates[:, 0]] = True
        return crated

    def is_free(self, cell: Cell) -> bool:
        """Empty, left of the end wall, and not where the agent starts."""
        x, y = cell
        inside = 1 <= x <= self.end[0] and 1 <= y < CEILING
        return inside and (cell == self.end or (cell != self.spawn and bool(self._free[y, x])))


def write_coins(state: State, coins: tuple[Cell, ...]) -> None:
    """Take every coin out and put coins into these cells."""
    state.grid[state.grid == COIN] = EMPTY
    for x, y in coins:
        state.grid[y, x] = COIN


def write_agent(state: State, cell: Cell) -> None:
    """Let the agent stand still on the floor of a cell, as at spawn."""
    agent = state.entities[0]
    agent[X], agent[Y] = cell[0] + 0.5, np.float32(cell[1]) + agent[RY]
    agent[VX] = agent[VY] = 0
    state.own_floats()[0] = agent[Y]  # last_agent_y


def touches(xy: NDArray[np.float32], cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether an agent centred at xy [n, 2] touches a cell [n, 2] as procgen counts it."""
    half = np.array([0.5 - TOUCH, 0.5787 - TOUCH], np.float32)
    low, high = np.floor(xy - half), np.floor(xy + half)
    return np.asarray(((low <= cell) & (cell <= high)).all(axis=1))
