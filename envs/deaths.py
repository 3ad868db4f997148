"""What killed the agent: the level's only kind of hazard, or which one alone does it again."""

import numpy as np

from envs.games import Game
from envs.simulator import Scratch
from envs.state import State

UNKNOWN = "unknown"


def only_hazard(game: Game, state: bytes | bytearray) -> str:
    """The one deadly kind of thing in a level (most have no more), empty for none or several."""
    parsed = State(state)
    entities = [name for name, kind in game.deadly_entities.items() if kind in parsed.kinds]
    cells = [name for name, kinds in game.deadly_cells.items() if np.isin(parsed.grid, kinds).any()]
    found = entities + cells
    return found[0] if len(found) == 1 else ""


def cause_of_death(game: Game, spare: Scratch, before: bytes, action: int) -> str:
    """`saw`, `enemy` or `lava`: the first kind of hazard that alone ends the episode here.

    `before` is the state one step earlier.
    """
    for name in (*game.deadly_entities, *game.deadly_cells):
        _, _, xy = spare.play(_only(game, name, before).data, [action])
        if xy is None:
            return name
    return UNKNOWN


def _only(game: Game, name: str, before: bytes) -> State:
    """The state without any other kind of hazard."""
    state = State(before)
    others = [kind for other, kind in game.deadly_entities.items() if other != name]
    state = state.with_entities(state.entities[~np.isin(state.kinds, others)])
    for other, cells in game.deadly_cells.items():
        if other != name:
            state.grid[np.isin(state.grid, cells)] = game.empty[0]
    return state
