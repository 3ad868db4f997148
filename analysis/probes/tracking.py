"""A vector environment that plays a list of episodes and looks at agents as rarely as it may.

Where an agent is can be read only from procgen's whole serialised state, which costs several
steps. But it moves at most half a column per step, so until it can have reached something that
matters there is nothing to see: distances tell when to look again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from envs.config import make_config
from envs.state import agent_xy
from envs.vector import ProcgenVectorEnv

_REACH = 1.0  # columns between centres at which two boxes touch
_SPEED = 0.5  # columns per step, the agent's `maxspeed`
_CLOSING = 0.65  # the same against an enemy that walks towards it at 0.15
_NEAR_HAZARD = 1
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

    An episode ends at the very step at which full tracking would end it, and `end_reached`,
    `coin_collected` and `outcome` are exact. `agent_xy` is where the agent was last seen: with
    `every_step` now, else at most two steps before a death.
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
        limits = self._limits = np.full(num_envs, _NEVER, dtype=np.int64)
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
        self._due[index] = self._wait(index) if playing and task.track else _NEVER

    def _track(self, ended: NDArray[np.bool_]) -> None:
        episodes = self._episodes
        self._due -= 1
        for index in np.flatnonzero((self._due <= 0) & ~ended).tolist():
            episodes.agent_xy[index] = agent_xy(self._native.peek_state(index))
            seen = slice(index, index + 1)
            reached = self._game.touches(episodes.agent_xy[seen], episodes.end_xy[seen])
            episodes.end_reached[index] |= reached[0]
            self._due[index] = self._wait(index)

    def _wait(self, index: int) -> int:
        """Steps until the next look: one before the agent can touch the end or a coin."""
        if self._every_step:
            return 1
        x = float(self._episodes.agent_xy[index, 0])
        hazards, spots = self._hazards[index], [self._episodes.end_xy[index, 0]]
        if self._episodes.two_coins[index]:  # which of two was taken is told from the position
            spots.append(self._episodes.coin_xy[index, 0])
        far = min(abs(spot + 0.5 - x) for spot in spots)
        wait = max(1, int((far - _REACH) / _SPEED) - 1)
        deadly = ((hazards.saw, _SPEED), (hazards.lava, _SPEED), (hazards.enemy, _CLOSING))
        for cells, speed in deadly:
            if len(cells):
                far = float(np.abs(cells[:, 0] + 0.5 - x).min())
                wait = min(wait, max(_NEAR_HAZARD, int((far - _REACH) / speed) - 1))
        return wait


class _Only:
    """A stream of level seeds with one seed in it."""

    def __init__(self, level: int) -> None:
        self.level = level

    def take(self, index: int) -> int:
        return self.level
