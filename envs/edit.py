"""Editing a running game state: the coin elsewhere or gone, everything else byte for byte the same.

The base of counterfactual probes: one state, seen with the coin here, there and absent.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell
from envs.games import find_game
from envs.settings import LevelSettings
from envs.simulator import shared_simulator
from envs.state import State
from rl_slt import InputError


def coins_of(state: bytes) -> tuple[Cell, ...]:
    """The cells that hold a coin, from the left."""
    parsed = State(state)
    coin = find_game(parsed.game).coin
    return tuple(sorted((int(x), int(y)) for y, x in np.argwhere(parsed.grid == coin)))


def agent_of(state: bytes) -> tuple[float, float]:
    """Centre of the agent: columns from the left, rows from the bottom."""
    return State(state).agent_xy


def move_coin(state: bytes, xy: Cell | None) -> bytes:
    """The state with its coin in the cell `xy`, or with no coin.

    Every coin there is goes; one comes. Free cells and a coin's own cell are allowed.

    Raises:
        InputError: when the cell is outside the world or not free.
        StateError: when the bytes are no state that is understood.
    """
    return set_coins(state, () if xy is None else (xy,))


def set_coins(state: bytes, cells: Iterable[Cell]) -> bytes:
    """The state with coins in exactly these cells; see `move_coin`."""
    parsed = State(state)
    game = find_game(parsed.game)
    cells = tuple((int(x), int(y)) for x, y in cells)
    height, width = parsed.grid.shape
    for x, y in cells:
        inside = 0 <= x < width and 0 <= y < height
        if not inside or parsed.grid[y, x] not in (game.coin, *game.empty):
            what = f"holds object {parsed.grid[y, x]}" if inside else "is outside the world"
            raise InputError(f"no coin can be put into cell {x},{y}: it {what}")
    game.write_coins(parsed, cells)
    return bytes(parsed.data)


def check_settings(state: State, settings: LevelSettings) -> None:
    """Raise InputError where a state was not made under these settings."""
    for name, value in settings.state_options().items():
        if state.option(name) != value:
            raise InputError(
                f"the state has {name} {state.option(name)}, but the settings say {value}"
            )


def render_states(states: Sequence[bytes], settings: LevelSettings) -> NDArray[np.uint8]:
    """Observations [n, 64, 64, 3] of states, which must be of environments with these settings.

    Raises:
        InputError: when a state has other settings.
    """
    frames = []
    for state in states:
        parsed = State(state)
        check_settings(parsed, settings)
        frames.append(shared_simulator(parsed.game, settings).render(state))
    return np.stack(frames) if frames else np.zeros((0, 64, 64, 3), np.uint8)
