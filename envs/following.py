"""Following agents: where they are, whether they reached the end, and what killed them.

Where an agent is can be read only from procgen's whole serialised state, which costs several
steps. `EveryStep` reads it after each step. `Sparse` looks as rarely as it may: an agent moves at
most half a column per step, so until it can have reached something that matters there is nothing to
see, and the distance tells when to look again. What killed it is told afterwards, by playing the
steps since the last look once more. Both end episodes at the same steps in the same way.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import native
from envs.config import VecConfig
from envs.deaths import UNKNOWN, cause_of_death
from envs.episodes import Episodes
from envs.native import Native
from envs.scratch import Scratch
from envs.state import agent_xy
from envs.tasks import NEVER

_REACH = 1.0  # columns between centres at which two boxes touch
_SPEED = 0.5  # columns per step, the agent's `maxspeed`
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
        self._seen: list[bytes | bytearray] = [b""] * config.num_envs  # states at the last look
        self._follow = np.zeros(config.num_envs, np.bool_)

    def begin(self, index: int, state: bytes | bytearray, follow: bool = True) -> None:
        """See `Follower`."""
        self._seen[index] = state
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
        return cause_of_death(self._game, self._spare, bytes(self._seen[index]), action)

    def _look_at(self, which: NDArray[np.int64]) -> None:
        xy, end = self._episodes.agent_xy, self._episodes.end_xy
        for index in which.tolist():
            state = self._seen[index] = self._games.get_state(index)
            xy[index] = agent_xy(state)
        self._episodes.end_reached[which] |= self._game.touches(xy[which], end[which])


class Sparse(EveryStep):
    """Looks when the agent may have come to the end or to one of two coins."""

    def __init__(
        self, config: VecConfig, games: Native, spare: Scratch, episodes: Episodes
    ) -> None:
        super().__init__(config, games, spare, episodes)
        self._due = np.full(config.num_envs, NEVER, np.int64)  # steps until the next look
        self._since: list[list[int]] = [[] for _ in range(config.num_envs)]  # actions since then

    def begin(self, index: int, state: bytes | bytearray, follow: bool = True) -> None:
        """See `Follower`."""
        super().begin(index, state, follow)
        self._episodes.agent_xy[index] = agent_xy(bytes(state))
        self._due[index] = self._wait(index) if follow else NEVER
        self._since[index] = []

    def act(self, actions: NDArray[Any]) -> None:
        """See `Follower`."""
        for index, action in enumerate(actions.tolist()):
            if self._follow[index]:
                self._since[index].append(action)

    def look(self, ended: Mask) -> None:
        """See `Follower`."""
        self._due -= 1
        which = np.flatnonzero((self._due <= 0) & self._follow & ~ended)
        if len(which):
            self._look_at(which)
        for index in which.tolist():
            self._since[index] = []
            self._due[index] = self._wait(index)

    def cause(self, index: int, action: int) -> str:
        """See `Follower`."""
        if self._follow[index]:
            self._seen[index] = self._later(bytes(self._seen[index]), self._since[index][:-1])
        return super().cause(index, action)

    def _wait(self, index: int) -> int:
        """Steps until the next look: one before the agent can touch the end or a coin."""
        episodes = self._episodes
        spots = [episodes.end_xy[index, 0]]
        if episodes.two_coins[index]:  # which of two was taken is told from the position
            spots.append(episodes.coin_xy[index, 0])
        elif episodes.coin_at_end[index]:  # a coin says itself when it is reached
            return NEVER
        far = min(abs(spot + 0.5 - float(episodes.agent_xy[index, 0])) for spot in spots)
        return max(1, int((far - _REACH) / _SPEED) - 1)

    def _later(self, state: bytes, actions: list[int]) -> bytes:
        """The state that these actions lead to."""
        if not actions:
            return state
        spare = native.acquire(1, self._config.game, self._config.settings)
        spare.set_state(0, state)
        for action in actions:
            spare.step(action)
        after = spare.get_state(0)
        native.release(spare)
        return after


FOLLOWERS = {True: EveryStep, "sparse": Sparse}
