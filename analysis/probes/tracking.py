"""A vector environment that plays a list of episodes and looks at agents as rarely as it may.

Where an agent is can be read only from procgen's whole serialised state, which costs several
steps. But it moves at most half a column per step, so until it can have reached something that
matters there is nothing to see: the distance tells when to look again. What killed an agent is told
afterwards, by playing the steps since the last look once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs import native
from envs.config import make_config
from envs.deaths import cause_of_death
from envs.state import agent_xy
from envs.vector import ProcgenVectorEnv

_REACH = 1.0  # columns between centres at which two boxes touch
_SPEED = 0.5  # columns per step, the agent's `maxspeed`
_NEVER = 2**30


@dataclass(frozen=True)
class Task:
    """One episode to play.

    Attributes:
        placement: of coin and start, as text.
        level: its seed.
        limit: steps after which it times out.
        track: whether to follow the agent: without it, reaching the end does not end the episode.
    """

    placement: str
    level: int
    limit: int
    track: bool = True


class TaskEnv(ProcgenVectorEnv):
    """Deals tasks to environments as they come free; `task` `[n]` says which, -1 for none left.

    An episode ends at the very step at which full tracking would end it, and all that is told
    of it is the same. `agent_xy` is where the agent was last seen: with `every_step`, now.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        settings: envs.LevelSettings,
        num_envs: int,
        every_step: bool = False,
    ) -> None:
        self._tasks, self._given, self._every_step = tasks, 0, every_step
        self.task = np.full(num_envs, -1, dtype=np.int64)
        self._due = np.full(num_envs, _NEVER, dtype=np.int64)
        self._followed = np.zeros(num_envs, dtype=np.bool_)
        limits = self._limits = np.full(num_envs, _NEVER, dtype=np.int64)
        self._since: list[list[int]] = [[] for _ in range(num_envs)]  # actions after the last look
        super().__init__(make_config(num_envs, "none", None, 0, settings=settings, track=True,
                                     order="sequential", stop_at_end=True))  # fmt: skip
        self._limit: Any = limits

    def _begin(self, index: int, natural: bool = False) -> None:
        """Starts the next task here; with none left, its last one once more for nobody to see."""
        playing = self._given < len(self._tasks)
        task = self._tasks[self._given if playing else -1]
        self.task[index] = self._given if playing else -1
        self._given += 1
        self.config = replace(self.config, placement=envs.parse_placement(task.placement))
        self._stream: Any = _Only(task.level)
        super()._begin(index)
        self._limits[index] = task.limit if playing else _NEVER
        self._followed[index] = playing and task.track
        self._due[index] = self._wait(index) if self._followed[index] else _NEVER
        self._since[index] = []

    def step(self, actions: Any) -> Any:
        """As for any vector environment."""
        for index in np.flatnonzero(self._followed).tolist():
            self._since[index].append(int(actions[index]))
        return super().step(actions)

    def _track(self, ended: NDArray[np.bool_]) -> None:
        episodes = self._episodes
        self._due -= 1
        for index in np.flatnonzero((self._due <= 0) & ~ended).tolist():
            state = self._before[index] = self._native.get_state(index)
            self._since[index] = []
            episodes.agent_xy[index] = agent_xy(state)
            seen = slice(index, index + 1)
            reached = self._game.touches(episodes.agent_xy[seen], episodes.end_xy[seen])
            episodes.end_reached[index] |= reached[0]
            self._due[index] = self._wait(index)

    def _wait(self, index: int) -> int:
        """Steps until the next look: one before the agent can touch the end or a coin."""
        if self._every_step:
            return 1
        episodes = self._episodes
        spots = [episodes.end_xy[index, 0]]
        if episodes.two_coins[index]:  # which of two was taken is told from the position
            spots.append(episodes.coin_xy[index, 0])
        elif episodes.coin_at_end[index]:  # a coin says itself when it is reached
            return _NEVER
        far = min(abs(spot + 0.5 - float(episodes.agent_xy[index, 0])) for spot in spots)
        return max(1, int((far - _REACH) / _SPEED) - 1)

    def _causes(self, died: NDArray[np.bool_], actions: NDArray[Any]) -> NDArray[np.object_]:
        """Causes of death, from where the agent was last seen and what it did since."""
        causes = np.full(self.num_envs, "", object)
        for index in np.flatnonzero(died & self._followed).tolist():
            *earlier, last = self._since[index]
            before = self._later(bytes(self._before[index]), earlier)
            causes[index] = cause_of_death(self._game, self._scratch, before, last)
        return causes

    def _later(self, state: bytes, actions: list[int]) -> bytes:
        """The state that these actions lead to."""
        if not actions:
            return state
        spare = native.acquire(1, self.config.game, self.config.settings)
        spare.set_state(0, state)
        for action in actions:
            spare.step(action)
        after = spare.get_state(0)
        native.release(spare)
        return after


class _Only:
    """A stream of level seeds with one seed in it."""

    def __init__(self, level: int) -> None:
        self.level = level

    def take(self, index: int) -> int:
        return self.level
