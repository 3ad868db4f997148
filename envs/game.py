"""What a game must tell: a record for each game, and what its levels look like to a placement.

A cell is `(x, y)`: column from the left, row from the bottom. To add a game of procgen, write a
module with a `Layout` and a `GAME` as in `envs.coinrun`, and list it in `envs.games`.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.actions import DISTINCT
from envs.state import OWN_FIELDS, State

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


@dataclass(frozen=True, kw_only=True)
class Game:
    """What trainings and studies need to know of a game.

    Attributes:
        name: of the game.
        time_limit: steps of an episode at most, where a training says nothing else.
        parse_coin: reads a placement of the coin; InputError where there is none of that text.
        make_vec: place of the function that makes its vector environments, `module:function`.
        distinct_actions: classes of actions that do the same.
        options: settings of `agents.TrainConfig` that `make_vec` takes beside `num_envs`, `coin`,
            `seed` and `time_limit`.
        frames: whether policies see frames, uint8 `[H, W, 3]`.
        has_probes: whether there are probe suites of rollouts for it.
        check: refuses a training whose placement has no place in its levels: takes the
            placement's text and, by name, the settings in `options`; None: every one has.
        presets: how its agents can be trained: settings of `agents.PPO_PRESETS` by trainer, the
            usual one first. With `exact`, values and their gradients are known exactly.
    """

    name: str
    time_limit: int
    parse_coin: Callable[[str], Any]
    make_vec: str
    distinct_actions: tuple[tuple[int, ...], ...]
    options: tuple[str, ...] = ()
    frames: bool = True
    has_probes: bool = False
    check: Callable[..., None] | None = None
    presets: Mapping[str, str] = field(default_factory=lambda: {"ppo": "paper"})


@dataclass(frozen=True, kw_only=True)
class ProcgenGame(Game):
    """What the environments, pictures and probes need to know of a procgen game.

    Attributes:
        modes: distribution modes that it has.
        layout: the layout of a fresh state.
        write_agent: lets the agent of a state stand still in a cell.
        touches: whether agents centered at `[n, 2]` touch cells `[n, 2]`, bool `[n]`.
        coin: grid value of the goal.
        empty: grid values of free cells.
        own_fields: how many 4-byte fields its states have after the grid.
        stock_is_end: whether procgen itself puts the goal where `end` does.
        known_motion: whether agents move as `track="sparse"` needs: see `envs.tracking.Reach`.
        view: columns (and rows) of cells around the agent that a frame shows; None: not constant.
        extent: columns and rows of a state's world worth showing; None: all.
        deadly_entities: entity type of each kind of hazard that is an object.
        deadly_cells: grid values of each kind of hazard that is ground.
        enemy: entity type of walking enemies.
    """

    modes: tuple[str, ...]
    layout: Callable[[State], Layout]
    write_agent: Callable[[State, Cell], None]
    touches: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.bool_]]
    coin: int
    empty: tuple[int, ...]
    own_fields: int
    make_vec: str = "envs:make_vec"
    options: tuple[str, ...] = ("levels", "settings", "game", "threads")
    distinct_actions: tuple[tuple[int, ...], ...] = DISTINCT
    stock_is_end: bool = False
    known_motion: bool = False
    view: float | None = None
    extent: Callable[[State], tuple[int, int]] | None = None
    deadly_entities: dict[str, int] = field(default_factory=dict)
    deadly_cells: dict[str, tuple[int, ...]] = field(default_factory=dict)
    enemy: int | None = None

    def __post_init__(self) -> None:
        OWN_FIELDS[self.name] = self.own_fields  # without which its states cannot be parsed

    def write_coins(self, state: State, coins: tuple[Cell, ...]) -> None:
        """Take every coin out and put coins into these cells."""
        state.put(self.coin, coins, self.empty[0])


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
