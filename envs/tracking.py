"""Following agents: where they are, whether they reached the end, and what killed them.

Where an agent is can be read only from procgen's whole serialised state, which costs several
steps. `EveryStep` reads it after each step. `Sparse` looks as rarely as it may: the actions taken
bound how far right and how low an agent can be (`envs.reach`), and until that is where something
matters there is nothing to see. What killed it is told afterwards, if need be by playing the steps
since the last look once more. Both end episodes at the same steps in the same way.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import native
from envs.config import VecConfig
from envs.deaths import UNKNOWN, cause_of_death, only_hazard
from envs.episodes import Episodes
from envs.native import Native
from envs.reach import SPEED, Reach
from envs.simulator import Scratch
from envs.state import Motion, State, agent_motion

# Where an agent's centre may be in touch with a cell: columns left of it, and rows above its floor.
_TOUCH, _ABOVE = 0.5, 1.58
_NOWHERE, _ANYWHERE = np.inf, np.inf
Mask = NDArray[np.bool_]


class Follower(Protocol):
    """Keeps `agent_xy` and `end_reached` of the episodes up to date."""

    def begin(self, index: int, state: bytes | bytearray, follow: bool = True) -> None:
        """An episode begins (or goes on) from this state."""
        ...

    def act(self, actions: NDArray[Any]) -> None:
        """These actions are about to be taken."""
        ...

    def look(self, ended: Mask) -> None:
        """They were taken; where `ended`, procgen has begun the next level already."""
        ...

    def cause(self, index: int, action: int) -> str:
        """What killed the agent at this step, by this action."""
        ...


class EveryStep:
    """Reads each state after each step."""

    def __init__(
        self, config: VecConfig, games: Native, spare: Scratch, episodes: Episodes
    ) -> None:
        self._config, self._games, self._spare, self._episodes = config, games, spare, episodes
        self._game = config.game_object
        self._seen: list[bytes] = [b""] * config.num_envs  # states at the last look
        self._follow = np.zeros(config.num_envs, np.bool_)

    def begin(self, index: int, state: bytes | bytearray, follow: bool = True) -> None:
        """See `Follower`."""
        self._seen[index] = bytes(state)
        self._follow[index] = follow

    def act(self, actions: NDArray[Any]) -> None:
        """See `Follower`."""

    def look(self, ended: Mask) -> None:
        """See `Follower`."""
        self._look_at(np.flatnonzero(self._follow & ~ended))

    def cause(self, index: int, action: int) -> str:
        """See `Follower`."""
        if not self._follow[index]:
            return UNKNOWN
        only = only_hazard(self._game, self._seen[index])
        return only or cause_of_death(self._game, self._spare, self._before(index), action)

    def _before(self, index: int) -> bytes:
        """The state before the step just taken."""
        return self._seen[index]

    def _look_at(self, which: NDArray[np.int64]) -> None:
        for index in which.tolist():
            self._seen[index] = self._games.get_state(index)
            self._place(index)
        xy, end = self._episodes.agent_xy[which], self._episodes.end_xy[which]
        self._episodes.end_reached[which] |= self._game.touches(xy, end)

    def _place(self, index: int) -> Motion:
        """Note where the agent is by the state just seen."""
        motion = agent_motion(self._seen[index])
        self._episodes.agent_xy[index] = motion[:2]
        return motion


class Sparse(EveryStep):
    """Looks when the agent may have come to the end, with or without a coin beside another one."""

    def __init__(
        self, config: VecConfig, games: Native, spare: Scratch, episodes: Episodes
    ) -> None:
        super().__init__(config, games, spare, episodes)
        self._reach = Reach(config.num_envs)
        # Where to look: from this column on, and not above this row.
        self._line = np.full(config.num_envs, _NOWHERE)
        self._row = np.full(config.num_envs, _ANYWHERE)
        self._since: list[list[int]] = [[] for _ in range(config.num_envs)]  # actions since a look

    def begin(self, index: int, state: bytes | bytearray, follow: bool = True) -> None:
        """See `Follower`."""
        super().begin(index, state, follow)
        self._line[index], self._row[index] = self._where(index) if follow else (_NOWHERE, 0)
        self._place(index)

    def act(self, actions: NDArray[Any]) -> None:
        """See `Follower`."""
        self._reach.act(actions)
        for since, action in zip(self._since, actions.tolist(), strict=True):
            since.append(action)

    def look(self, ended: Mask) -> None:
        """See `Follower`."""
        near = (self._reach.x >= self._line) & (self._reach.y <= self._row)
        episodes = self._episodes
        if ended.any():
            displaced = ended & episodes.two_coins & (self._games.rew > 0) & ~near & self._follow
            episodes.agent_xy[displaced] = episodes.coin_xy[displaced] + 0.5
        which = np.flatnonzero(near & ~ended)
        if len(which):
            self._look_at(which)

    def _where(self, index: int) -> tuple[float, float]:
        """From which column on, and up to which row, to look: where an agent can touch the end.

        A coin there says itself when it is reached; but where there is another one, which of them
        it was is told from the place one step before.
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
        """The state before the step just taken: the steps since the last look played again."""
        state, actions = self._seen[index], self._since[index][:-1]
        if not actions:
            return state
        unseen = State(state)
        unseen.hide()
        spare = native.acquire(1, self._config.game, self._config.settings)
        spare.set_state(0, unseen.data)
        for action in actions:
            spare.step(action)
        after = spare.get_state(0)
        native.release(spare)
        return after


FOLLOWERS = {True: EveryStep, "sparse": Sparse}
