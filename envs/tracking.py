"""Tracking agents: where they are, whether they reached the end, and what killed them.

Where an agent is can be read only from procgen's whole serialized state, which costs several
steps. `FullTracker` reads it after each step. `SparseTracker` reads as rarely as it may: the
actions taken bound how far right and how low an agent can be (`envs.reach`), and until that is
where something matters there is nothing to see. What killed an agent is found afterwards, if need
be by playing the steps since the last reading again. Both end episodes at the same steps in the
same way.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.episodes import Episodes
from envs.game import Game
from envs.native import Native
from envs.reach import SPEED, Reach
from envs.simulator import Simulator
from envs.state import Motion, State, agent_motion

# Where an agent's center may be in touch with a cell: columns left of it, and rows above its floor.
_TOUCH, _ABOVE = 0.5, 1.58
_NOWHERE, _ANYWHERE = np.inf, np.inf
UNKNOWN = "unknown"  # cause of death
Mask = NDArray[np.bool_]


class Tracker(Protocol):
    """Keeps `agent_xy` and `end_reached` of the episodes up to date."""

    def begin(self, index: int, state: bytes | bytearray, track: bool = True) -> None:
        """An episode begins (or goes on) from this state."""
        ...

    def act(self, actions: NDArray[Any]) -> None:
        """These actions are about to be taken."""
        ...

    def update(self, ended: Mask) -> None:
        """They were taken; where `ended`, procgen has begun the next level already."""
        ...

    def cause(self, index: int, action: int) -> str:
        """What killed the agent at this step, by this action."""
        ...


class FullTracker:
    """Reads each state after each step."""

    def __init__(self, games: Native, simulator: Simulator, episodes: Episodes) -> None:
        self._games, self._simulator, self._episodes = games, simulator, episodes
        self._game, num = simulator.game, len(episodes.number)
        self._seen: list[bytes] = [b""] * num  # states at the last reading
        self._tracked = np.zeros(num, np.bool_)

    def begin(self, index: int, state: bytes | bytearray, track: bool = True) -> None:
        """See `Tracker`."""
        self._seen[index] = bytes(state)
        self._tracked[index] = track

    def act(self, actions: NDArray[Any]) -> None:
        """See `Tracker`."""

    def update(self, ended: Mask) -> None:
        """See `Tracker`."""
        self._read(np.flatnonzero(self._tracked & ~ended))

    def cause(self, index: int, action: int) -> str:
        """See `Tracker`."""
        if not self._tracked[index]:
            return UNKNOWN
        only = only_hazard(self._game, self._seen[index])
        return only or self._deadly_alone(self._before(index), action)

    def _deadly_alone(self, before: bytes, action: int) -> str:
        """The first kind of hazard that alone ends the episode by this action."""
        game = self._game
        for name in (*game.deadly_entities, *game.deadly_cells):
            state = State(before)
            others = [kind for other, kind in game.deadly_entities.items() if other != name]
            state = state.with_entities(state.entities[~np.isin(state.kinds, others)])
            for other, cells in game.deadly_cells.items():
                if other != name:
                    state.grid[np.isin(state.grid, cells)] = game.empty[0]
            if self._simulator.play(state.data, [action])[2] is None:
                return name
        return UNKNOWN

    def _before(self, index: int) -> bytes:
        """The state before the step just taken."""
        return self._seen[index]

    def _read(self, which: NDArray[np.int64]) -> None:
        for index in which.tolist():
            self._seen[index] = self._games.get_state(index)
            self._place(index)
        xy, end = self._episodes.agent_xy[which], self._episodes.end_xy[which]
        self._episodes.end_reached[which] |= self._game.touches(xy, end)

    def _place(self, index: int) -> Motion:
        """Note where the agent is by the state just read."""
        motion = agent_motion(self._seen[index])
        self._episodes.agent_xy[index] = motion[:2]
        return motion


class SparseTracker(FullTracker):
    """Reads where the agent may have come to the end, or to one of two coins."""

    def __init__(self, games: Native, simulator: Simulator, episodes: Episodes) -> None:
        super().__init__(games, simulator, episodes)
        num = len(episodes.number)
        self._reach = Reach(num)
        # Where to read: from this column on, and not above this row.
        self._line, self._row = np.full(num, _NOWHERE), np.full(num, _ANYWHERE)
        self._since: list[list[int]] = [[] for _ in range(num)]  # actions since a reading

    def begin(self, index: int, state: bytes | bytearray, track: bool = True) -> None:
        """See `Tracker`."""
        super().begin(index, state, track)
        self._line[index], self._row[index] = self._where(index) if track else (_NOWHERE, 0)
        self._place(index)

    def act(self, actions: NDArray[Any]) -> None:
        """See `Tracker`."""
        self._reach.act(actions)
        for since, action in zip(self._since, actions.tolist(), strict=True):
            since.append(action)

    def update(self, ended: Mask) -> None:
        """See `Tracker`."""
        near = (self._reach.x >= self._line) & (self._reach.y <= self._row)
        episodes = self._episodes
        if ended.any():
            displaced = ended & episodes.two_coins & (self._games.rew > 0) & ~near & self._tracked
            episodes.agent_xy[displaced] = episodes.coin_xy[displaced] + 0.5
        which = np.flatnonzero(near & ~ended)
        if len(which):
            self._read(which)

    def _where(self, index: int) -> tuple[float, float]:
        """From which column on, and up to which row, to read: where an agent can touch the end.

        A coin there ends the episode when it is reached; but where there is another one, which of
        them it was is decided by the place one step before.
        """
        episodes = self._episodes
        column, row = episodes.end_xy[index].tolist()
        if episodes.two_coins[index]:
            return column - _TOUCH - SPEED, _ANYWHERE
        return (_NOWHERE if episodes.coin_at_end[index] else column - _TOUCH), row + _ABOVE

    def _place(self, index: int) -> Motion:
        """Nothing is left to be guessed."""
        motion = super()._place(index)
        self._reach.set(index, motion)
        self._since[index] = []
        return motion

    def _before(self, index: int) -> bytes:
        """The state before the step just taken: the steps since the last reading played again."""
        state, actions = self._seen[index], self._since[index][:-1]
        if not actions:
            return state
        unseen = State(state)
        unseen.hide()
        return self._simulator.advance(unseen.data, actions)


TRACKERS: dict[bool | str, type[FullTracker]] = {True: FullTracker, "sparse": SparseTracker}


def only_hazard(game: Game, state: bytes | bytearray) -> str:
    """The one deadly kind of thing in a level (most have no more), empty for none or several."""
    parsed = State(state)
    entities = [name for name, kind in game.deadly_entities.items() if kind in parsed.kinds]
    cells = [name for name, kinds in game.deadly_cells.items() if np.isin(parsed.grid, kinds).any()]
    found = entities + cells
    return found[0] if len(found) == 1 else ""
