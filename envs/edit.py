"""Editing a running game state: the coin elsewhere or gone, everything else byte for byte the same.

The base of counterfactual probes: one state, seen with the coin here, there and absent.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell
from envs.games import find_procgen
from envs.placements import Mix, Placement, Spot, parse_placement
from envs.settings import LevelSettings
from envs.simulator import shared_simulator
from envs.state import State
from rl_slt import InputError


def coins_of(state: bytes) -> tuple[Cell, ...]:
    """The cells that hold a coin, from the left.

    Args:
        state: of a procgen game, as `ProcgenVectorEnv.game_state` gives it.
    """
    parsed = State(state)
    coin = find_procgen(parsed.game).coin
    return tuple(sorted((int(x), int(y)) for y, x in np.argwhere(parsed.grid == coin)))


def agent_of(state: bytes) -> tuple[float, float]:
    """Centre of the agent: columns from the left, rows from the bottom.

    Args:
        state: of a procgen game, as `ProcgenVectorEnv.game_state` gives it.
    """
    return State(state).agent_xy


def move_coin(state: bytes, xy: Cell | None) -> bytes:
    """The state with its coin in the cell `xy`, or with no coin.

    All coins of the state are taken out first.

    Args:
        state: of a game, as `ProcgenVectorEnv.game_state` gives it.
        xy: column from the left and row from the bottom of a free cell or of a coin's own.

    Raises:
        InputError: when the cell is outside the world or not free.
        StateError: when the bytes are no state that is understood.
    """
    parsed = State(state)
    game = find_procgen(parsed.game)
    cells: tuple[Cell, ...] = () if xy is None else ((int(xy[0]), int(xy[1])),)
    (width, height), allowed = parsed.size, (game.coin, *game.empty)
    for x, y in cells:
        if not (0 <= x < width and 0 <= y < height):
            raise InputError.of("xy", (x, y), f"a cell of the world, {width} by {height}")
        if parsed.grid[y, x] not in allowed:
            kind = int(parsed.grid[y, x])
            raise InputError.of("xy", (x, y), f"a free cell; it holds object {kind}")
    game.write_coins(parsed, cells)
    return bytes(parsed.data)


def standing_states(
    level: int, coin: str | Placement, settings: LevelSettings, game: str = "coinrun"
) -> dict[Cell, bytes]:
    """A fresh level with the agent at rest in each cell where it can stand, from the left.

    These are the spawn, the end, and between them the cells that can hold a coin, one a column, but
    for those that the agent would touch the coin from.

    Args:
        level: its seed.
        coin: placement of the coin; where it starts the agent does not matter.
        settings: what levels contain.
        game: whose level it is.

    Raises:
        InputError: a mixture of placements, or one that the level does not allow.
    """
    placement, simulator = parse_placement(coin), shared_simulator(game, settings)
    if isinstance(placement, Mix):
        raise InputError.of("coin", coin, "one placement, no mixture")
    spot, end = simulator.spot(level, placement)
    layout, found = simulator.layout(level), {}
    for cell in sorted({layout.spawn, *layout.coin_cells, end}):
        if all(max(abs(cell[0] - x), abs(cell[1] - y)) > 1 for x, y in spot.coins):
            state = simulator.placed(simulator.level(level), placement, Spot(spot.coins, cell))
            found[cell] = bytes(state.data)
    return found


def check_settings(state: State, settings: LevelSettings) -> None:
    """Raise InputError where a state was not made under these settings."""
    for name, value in settings.state_options().items():
        if state.option(name) != value:
            raise InputError.of(f"{name} of the state", state.option(name), f"{value}, as set")


def render_states(states: Sequence[bytes], settings: LevelSettings) -> NDArray[np.uint8]:
    """Observations of states, uint8 `[n, 64, 64, 3]`.

    Args:
        states: of games, as `ProcgenVectorEnv.game_state` gives them.
        settings: of the environments that they are of.

    Raises:
        InputError: when a state has other settings.
    """
    frames = []
    for state in states:
        parsed = State(state)
        check_settings(parsed, settings)
        frames.append(shared_simulator(parsed.game, settings).render(state))
    return np.stack(frames) if frames else np.zeros((0, 64, 64, 3), np.uint8)
