"""Fresh states of levels by their seeds, from a game that does nothing else."""

import struct

from envs.native import Native
from envs.state import TRIVIAL, UNSEEN, State


class FreshLevels:
    """One game that is told a level seed and reset.

    `base`: any state of the game with trivial generators, whose options all levels get.
    """

    def __init__(self, games: Native, base: State) -> None:
        self._games = games
        self._visibility = base.visibility
        games.set_state(0, base.data)
        told = State(base.data)
        told.visibility = UNSEEN  # half of the cost would be drawing
        self._range_at = told.level_range_at
        self._generator_at = told.level_generator_at
        self._told = told.without_generators()

    def make(self, seed: int) -> State:
        """The fresh state of one level, with trivial generators; the same each time."""
        struct.pack_into("<2i", self._told, self._range_at, seed, seed + 1)
        self._games.set_state(0, self._told)
        self._games.step(-1)
        view, at = self._games.peek_state(0), self._generator_at
        length = int.from_bytes(view[at : at + 4], "little")
        state = State(b"".join((view[:at], TRIVIAL, view[at + 4 + length :])))
        state.visibility = self._visibility
        state.forget_draw()
        return state
