"""The games that the environment knows; a new one is one module and one entry here."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs import coinrun, maze
from envs.layout import Cell, Layout
from envs.state import State
from rl_slt import InputError


@dataclass(frozen=True)
class Game:
    """What the vector environment needs to know of a procgen game."""

    name: str
    modes: tuple[str, ...]  # distribution modes
    layout: Callable[[State], Layout]
    write_agent: Callable[[State, Cell], None]
    touches: Callable[[NDArray[np.float32], NDArray[np.int32]], NDArray[np.bool_]]
    coin: int  # grid value of the goal
    empty: tuple[int, ...]  # grid values of free cells
    time_limit: int  # procgen's own, in steps
    stock_is_end: bool  # whether procgen itself puts the goal where `end` does
    deadly_entities: dict[str, int] = field(default_factory=dict)  # name: entity type
    deadly_cells: dict[str, tuple[int, ...]] = field(default_factory=dict)  # name: grid values
    enemy: int | None = None  # entity type of walking enemies

    def write_coins(self, state: State, coins: tuple[Cell, ...]) -> None:
        """Take every coin out and put coins into these cells."""
        state.put(self.coin, coins, self.empty[0])


GAMES = {
    "coinrun": Game(
        name="coinrun",
        modes=("easy", "hard"),
        layout=coinrun.CoinRunLayout,
        write_agent=coinrun.write_agent,
        touches=coinrun.touches,
        coin=coinrun.COIN,
        empty=(coinrun.EMPTY, coinrun.BARRIER),
        time_limit=1000,
        stock_is_end=True,
        deadly_entities={"saw": coinrun.SAW, "enemy": coinrun.ENEMY},
        deadly_cells={"lava": coinrun.LAVA},
        enemy=coinrun.ENEMY,
    ),
    "maze": Game(
        name="maze",
        modes=("easy", "hard", "memory"),
        layout=maze.MazeLayout,
        write_agent=maze.write_agent,
        touches=maze.touches,
        coin=maze.CHEESE,
        empty=(maze.EMPTY,),
        time_limit=500,
        stock_is_end=False,
    ),
}


def find_game(name: str) -> Game:
    """The game of this name; InputError when there is none."""
    if name not in GAMES:
        raise InputError(f"game {name!r} is not one of {', '.join(GAMES)}")
    return GAMES[name]
