"""What killed the agent: the last step played again with one kind of hazard left at a time."""

import numpy as np

from envs.games import Game
from envs.scratch import Scratch
from envs.state import State

UNKNOWN = "unknown"


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
