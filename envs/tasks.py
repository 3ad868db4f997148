"""Lists of episodes to play: each with its level, its coin and start, and its own limit."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.level_seeds import N_LEVELS
from envs.parse import parse_placement
from rl_slt import InputError

NEVER = 2**30  # steps


@dataclass(frozen=True)
class Task:
    """One episode to play.

    Attributes:
        placement: of coin and start, as text.
        level: its seed.
        limit: steps after which it is truncated.
    """

    placement: str
    level: int
    limit: int

    def __post_init__(self) -> None:
        if parse_placement(self.placement).is_mixture:
            raise InputError(f"placement {self.placement!r} of a task is a mixture: take one")
        if not 0 <= self.level < N_LEVELS:
            raise InputError(f"level {self.level!r} of a task, allowed: 0 to {N_LEVELS - 1}")
        if self.limit < 1:
            raise InputError(f"limit {self.limit!r} of a task, allowed: steps from 1")


class Listed:
    """Deals tasks where an environment comes free; with none left, the last one for nobody to see.

    Those with the longest limit first, else in order: so that, towards the end, few environments
    have nothing to play.

    `task` `[n]` says which task each environment plays, -1 for none.
    """

    def __init__(self, tasks: Sequence[Task], num: int) -> None:
        self.tasks = list(tasks)
        self.task = np.full(num, -1, np.int64)
        order = sorted(range(len(self.tasks)), key=lambda number: -self.tasks[number].limit)
        self._left = deque(order)

    def take(self, index: int) -> int:
        """Deal the next task to an environment; its level seed."""
        self.task[index] = self._left.popleft() if self._left else -1
        return self.now(index).level

    def now(self, index: int) -> Task:
        """What an environment plays: one with nothing left to play repeats the last task."""
        return self.tasks[self.task[index]]

    def limit(self, index: int) -> int:
        """Steps until the episode of an environment is cut; never where nobody looks on."""
        return self.now(index).limit if self.task[index] >= 0 else NEVER

    def plays(self, index: int) -> bool:
        """Whether an environment plays a task: else nobody looks on."""
        return bool(self.task[index] >= 0)

    def save(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """What is left to deal, and what was dealt to whom; of these environments alone."""
        left = np.array(self._left, np.int64)
        return {"stream_left": left, "stream_task": self.task[which].copy()}

    def load(self, arrays: Any) -> None:
        """Take the arrays of `save`."""
        self._left = deque(arrays["stream_left"].tolist())
        self.task[...] = arrays["stream_task"]
