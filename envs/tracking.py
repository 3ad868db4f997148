"""Tracking agents: where they are, whether they reached the end, and what killed them.

Where an agent is can be read only from procgen's whole serialized state, which costs several
steps. `Tracker` reads it after each step. `SparseTracker` reads as rarely as it may: the
actions taken bound how far right and how low an agent can be (`Reach`), and until that is
where something matters there is nothing to see. What killed an agent is found afterwards, if need
be by playing the steps since the last reading again. Both end episodes at the same steps in the
same way.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import DIRECTION
from envs.episodes import Episodes
from envs.game import ProcgenGame
from envs.native import Native
from envs.simulator import Simulator
from envs.state import Motion, State, agent_motion

# Where an agent's center may be in touch with a cell: columns left of it, and rows above its floor.
_TOUCH, _ABOVE = 0.5, 1.58
_NOWHERE, _ANYWHERE = np.inf, np.inf
UNKNOWN = "unknown"  # cause of death
SPEED = 0.5  # columns per step, the agent's `maxspeed`
_GROUND, _AIR = 0.2, 0.2 * 0.15  # `mixrate`, and with `air_control`
_GRAVITY = 0.2  # rows per step, each step
_SLACK = 0.05  # columns; an agent stands up to 0.01 deep in a wall, which then pushes it out
Mask = NDArray[np.bool_]


def fewest_steps(columns: float) -> int:
    """Fewest steps in which an agent can get that many columns farther; 0 for none.

    Args:
        columns: to the right or left, in cells of the level.
    """
    return max(0, math.floor((columns - _SLACK) / SPEED))


class Reach:
    """How far right and how low agents can be by the actions taken since they were seen.

    Bounds on `num` agents' centers: upper on columns `x`, lower on rows `y`, float64 [num].
    CoinRun moves an agent by `v' = (1 - g) v + g SPEED d`, where d is the direction of its action
    (-1, 0 or 1), and the gain g is 0.2 on the ground and 0.03 in the air (`update_agent_velocity`).
    Whether it stands is not known, so the bound takes the larger v'; walls only slow it down:

        v' = max(0.8 v + 0.1 d, 0.97 v + 0.015 d, 0),    x' = x + v'

    In the air it falls faster by 0.2 rows per step each step; a ceiling takes its upward speed:

        u' = min(u, 0) - 0.2,    y' = y + u'
    """

    def __init__(self, num: int) -> None:
        self.x, self.y = np.zeros(num), np.zeros(num)
        self._right, self._up = np.zeros(num), np.zeros(num)  # velocities

    def set(self, index: int, motion: Motion) -> None:
        """An agent was seen: its place (columns, rows), and its velocity in cells per step."""
        x, y, right, up = motion
        self.x[index], self.y[index] = x + _SLACK, y - _SLACK
        self._right[index], self._up[index] = right, up

    def act(self, actions: NDArray[Any]) -> None:
        """These actions int [num], 0 to 14, are taken."""
        push, v = SPEED * DIRECTION[actions], self._right
        ground, air = v + _GROUND * (push - v), v + _AIR * (push - v)
        self._right = np.maximum(np.maximum(ground, air), 0)
        self.x += self._right
        self._up = np.minimum(self._up, 0) - _GRAVITY
        self.y += self._up


class Tracker:
    """Keeps `agent_xy` and `end_reached` up to date: reads each state after each step."""

    def __init__(self, games: Native, simulator: Simulator, episodes: Episodes) -> None:
        self._games, self._simulator, self._episodes = games, simulator, episodes
        self._game, num = simulator.game, len(episodes.number)
        self._seen: list[bytes] = [b""] * num  # states at the last reading
        self._tracked = np.zeros(num, np.bool_)

    def begin(self, index: int, state: bytes | bytearray, track: bool = True) -> None:
        """An episode begins (or goes on) from this state."""
        self._seen[index] = bytes(state)
        self._tracked[index] = track

    def act(self, actions: NDArray[Any]) -> None:
        """These actions are about to be taken."""

    def update(self, ended: Mask) -> None:
        """They were taken; where `ended`, procgen has begun the next level already."""
        self._read(np.flatnonzero(self._tracked & ~ended))

    def cause(self, index: int, action: int) -> str:
        """What killed the agent at this step, by this action."""
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
            if self._simulator.rollout(state.data, [action])[2] is None:
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


class SparseTracker(Tracker):
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


TRACKERS: dict[bool | str, type[Tracker]] = {True: Tracker, "sparse": SparseTracker}


def only_hazard(game: ProcgenGame, state: bytes | bytearray) -> str:
    """The one deadly kind of thing in a level (most have no more), empty for none or several."""
    parsed = State(state)
    entities = [name for name, kind in game.deadly_entities.items() if kind in parsed.kinds]
    cells = [name for name, kinds in game.deadly_cells.items() if np.isin(parsed.grid, kinds).any()]
    found = entities + cells
    return found[0] if len(found) == 1 else ""
