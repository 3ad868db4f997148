"""Following agents: where they are, whether they reached the end, and what killed them.

Where an agent is can be read only from procgen's whole serialised state, which costs several
steps. `EveryStep` reads it after each step. `Sparse` looks as rarely as it may: velocity and top
speed tell how soon an agent can have reached something that matters, and until then there is
nothing to see. What killed it is told afterwards, by playing the steps since the last look once
more. Both end episodes at the same steps in the same way.
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
from envs.state import UNSEEN, State, agent_motion, agent_xy
from envs.tasks import NEVER

_REACH = 1.0  # columns between centres at which two boxes touch
_SPEED = 0.5  # columns per step, the agent's `maxspeed`
_GAIN = 0.2  # its `mixrate`: v' = (1 - gain) v + gain * speed * direction, less in the air
_STEPS = np.arange(512)
# Columns made good in n steps from velocity u at full speed: n speed - (speed - u) _LAG[n].
_LAG = (1 - _GAIN) / _GAIN * (1 - (1 - _GAIN) ** _STEPS)
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
        return cause_of_death(self._game, self._spare, self._seen[index], action)

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
        self._episodes.agent_xy[index] = agent_xy(self._seen[index])
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
            self._seen[index] = self._later(self._seen[index], self._since[index][:-1])
        return super().cause(index, action)

    def _wait(self, index: int) -> int:
        """Steps until the next look: when the agent can touch the end, or could before a coin."""
        episodes = self._episodes
        end = float(episodes.end_xy[index, 0])
        if episodes.two_coins[index]:  # which of two was taken is told from the place before
            coin = float(episodes.coin_xy[index, 0])
            return max(1, min(self._soonest(index, end), self._soonest(index, coin)) - 1)
        if episodes.coin_at_end[index]:  # a coin says itself when it is reached
            return NEVER
        return self._soonest(index, end)

    def _soonest(self, index: int, column: float) -> int:
        """Steps after which the agent can touch something in a column at the soonest."""
        x, _, velocity, _ = agent_motion(self._seen[index])
        away = column + 0.5 - x
        towards = np.sign(away) * velocity
        made = _SPEED * _STEPS - (_SPEED - towards) * _LAG
        reached = np.flatnonzero(made >= abs(away) - _REACH)
        return max(1, int(reached[0])) if len(reached) else len(_STEPS)

    def _later(self, state: bytes, actions: list[int]) -> bytes:
        """The state that these actions lead to."""
        if not actions:
            return state
        unseen = State(state)
        unseen.visibility = UNSEEN
        spare = native.acquire(1, self._config.game, self._config.settings)
        spare.set_state(0, unseen.data)
        for action in actions:
            spare.step(action)
        after = spare.get_state(0)
        native.release(spare)
        return after


FOLLOWERS = {True: EveryStep, "sparse": Sparse}
