"""CoinRun: its cells, its layout read from a fresh state, and how coin and agent are written."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell, Cells, ProcgenGame
from envs.placements import parse_placement
from envs.state import RY, VX, VY, State, X, Y

COIN, EMPTY, BARRIER = 1, 100, 19
WALLS, LAVA = (15, 16), (17, 18)
SAW, ENEMY, CRATE = 2, 5, 20
CEILING = 63  # the row that closes the world
MAX_GAP, MAX_RISE = 8, 5  # columns and rows that a running jump crosses
TOUCH = 0.001  # procgen shrinks the agent's box by this when it looks for cells (POS_EPS)
_LETTERS = bytes({COIN: b"o"[0], EMPTY: b"."[0], BARRIER: b"|"[0], **dict.fromkeys(WALLS, b"#"[0])}
                 .get(kind, b"~"[0]) for kind in range(256))  # fmt: skip


class CoinRunLayout:
    """A CoinRun level; see `envs.game.Layout`.

    Read as texts, one a column up to the coin's, each from the bottom: `#` wall, `.` empty, `|`
    barrier of enemies, `o` coin, `~` else. A level has some 40 columns, and numpy's calls on so few
    are slower than a look at each, the more so between two steps of procgen.
    """

    supports = frozenset(
        {"end", "section", "ground", "ground=LOW-HIGH", "behind", "none", "at", "both"}
    )
    spawn: Cell = (1, 1)

    def __init__(self, state: State) -> None:
        self.level_seed = state.step_field("level_seed")
        rows, width = state.cells().translate(_LETTERS), state.size[0]
        if rows.count(b"o") != 1:
            raise ValueError("the state is not a fresh CoinRun level with one coin")
        y, x = divmod(rows.index(b"o"), width)
        self.end: Cell = x, y
        self._columns = [rows[column::width] for column in range(x + 1)]
        found: dict[int, Cells] = {SAW: [], ENEMY: [], CRATE: []}
        for left, bottom, kind in state.objects():
            if kind in found:
                found[kind].append((int(left), int(bottom)))
        self.saws, self.enemies, self.crates = found.values()
        self._taken = {*self.saws, *self.enemies, *self.crates}
        # A barrier taken out would let the enemies through.
        self._empty = b"." if self.enemies else b".|"

    def surface(self, x: int) -> int:
        """Row above the highest wall of a column below the ceiling."""
        return self._columns[x].rfind(b"#", 0, CEILING) + 1

    def _firm(self, x: int, y: int) -> bool:
        """Whether a column is wall from the bottom up to its surface `y`."""
        return self._columns[x].count(b"#", 0, y) == y

    def _free(self, x: int, y: int) -> bool:
        return self._columns[x][y] in self._empty and (x, y) not in self._taken

    @cached_property
    def coin_cells(self) -> Cells:
        """Standable, reachable cells strictly between spawn and end, one a column."""
        columns, empty, taken = self._columns, self._empty, self._taken
        cells: Cells = []
        last_x, last_y = self.spawn
        for x in range(self.spawn[0] + 1, self.end[0]):
            y = columns[x].rfind(b"#", 0, CEILING) + 1
            if columns[x][y] in empty and (x, y) not in taken:
                if x - last_x > MAX_GAP or y - last_y > MAX_RISE:
                    break
                last_x, last_y = x, y
                cells.append((x, y))
        return cells

    @cached_property
    def start_cells(self) -> Cells:
        """Standable cells on firm ground, away from saws and enemies, not beside spawn or end.

        Crowded levels: as far from the enemies as it goes, but never beside one.
        """
        first, last = self.spawn[0] + 3, self.end[0] - 2
        fine = [(x, y) for x, y in self.coin_cells if first <= x <= last and self._firm(x, y)]
        fine = _away_from(self.saws, fine, 1)
        tiers = (_away_from(self.enemies, fine, margin) for margin in (3, 2, 1))
        return next((tier for tier in tiers if tier), [])

    @cached_property
    def section_cells(self) -> Cells:
        """First column of each section, from the grid.

        The first section starts at column 5. Later ones show as a change of ground height, or
        (flat levels) as two enemy barriers side by side: one ends a section and one starts it.
        Pits are no ground: all their columns hold lava, a saw, an enemy or a thin platform.
        """
        cells: Cells = []
        height = 0
        for x in range(5, self.end[0]):
            y = self.surface(x)
            if not self._firm(x, y) or not (self._free(x, y) or (x, y) in self.crates):
                continue
            if y != height or self._columns[x][y] == self._columns[x - 1][y] == b"|"[0]:
                cells.append((x, y))
            height = y
        return cells

    def is_free(self, cell: Cell) -> bool:
        """Empty, left of the end wall, and not where the agent starts."""
        x, y = cell
        inside = 1 <= x <= self.end[0] and 1 <= y < CEILING
        return inside and (cell == self.end or (cell != self.spawn and self._free(x, y)))


def _away_from(objects: Cells, cells: Cells, margin: int) -> Cells:
    """The cells that have none of the objects within `margin` columns and 3 rows."""
    if not objects:
        return cells
    return [
        (x, y)
        for x, y in cells
        if all(abs(x - ox) > margin or abs(y - oy) > 3 for ox, oy in objects)
    ]


def write_agent(state: State, cell: Cell) -> None:
    """Let the agent stand still on the floor of a cell, as at spawn."""
    agent = state.entities[0]
    agent[X], agent[Y] = cell[0] + 0.5, np.float32(cell[1]) + agent[RY]
    agent[VX] = agent[VY] = 0
    state.own_floats()[0] = agent[Y]  # last_agent_y


def touches(xy: NDArray[np.float32], cell: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether an agent centered at xy [n, 2] touches a cell [n, 2] as procgen counts it."""
    half = np.array([0.5 - TOUCH, 0.5787 - TOUCH], np.float32)
    low, high = np.floor(xy - half), np.floor(xy + half)
    return np.asarray(((low <= cell) & (cell <= high)).all(axis=1))


def extent(state: State) -> tuple[int, int]:
    """Columns up to the end wall, and rows up to a jump above the highest ground."""
    open_cells = ~np.isin(state.grid, WALLS)
    columns = np.flatnonzero(open_cells[1:-1].any(axis=0))
    ground = np.argmax(open_cells[1:], axis=0)[columns]
    return int(columns[-1]) + 2, min(int(ground.max()) + 9, state.grid.shape[0])


GAME = ProcgenGame(
    name="coinrun",
    parse_coin=parse_placement,
    modes=("easy", "hard"),
    layout=CoinRunLayout,
    write_agent=write_agent,
    touches=touches,
    coin=COIN,
    empty=(EMPTY, BARRIER),
    time_limit=1000,
    own_fields=7,
    stock_is_end=True,
    known_motion=True,
    has_probes=True,
    view=13.0,
    extent=extent,
    deadly_entities={"saw": SAW, "enemy": ENEMY},
    deadly_cells={"lava": LAVA},
    enemy=ENEMY,
    presets={"ppo": "paper", "clone": "clone"},
)
