"""Which level comes next in each environment: sampled, one after the other, or from a list."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.level_seeds import N_LEVELS, Levels, Seed
from envs.placements import Mix, Placement, parse_placement
from envs.state import generator_words, level_generators
from rl_slt import InputError

NEVER = 2**30  # steps


@dataclass(frozen=True)
class Task:
    """One episode to play.

    Attributes:
        placement: of coin and start, as text; no mixture.
        level: its seed.
        limit: steps after which it is truncated.
        seen: whether its frames are drawn, which is two thirds of a step.
    """

    placement: str
    level: int
    limit: int
    seen: bool = True

    def __post_init__(self) -> None:
        if isinstance(parse_placement(self.placement), Mix):
            raise InputError.of("placement of a task", self.placement, "one placement, no mixture")
        if not 0 <= self.level < N_LEVELS:
            raise InputError.of("level of a task", self.level, f"from 0 to {N_LEVELS - 1}")
        if self.limit < 1:
            raise InputError.of("limit of a task", self.limit, "at least 1 step")


class Branch(NamedTuple):
    """Where an episode goes on from: procgen's state, and the steps that led there."""

    state: bytes
    steps: int


class LevelQueue(ABC):
    """Gives a level to an environment whenever one of its episodes begins."""

    @abstractmethod
    def take(self, index: int) -> int:
        """Level seed of the next episode of an environment."""

    def following(self, index: int) -> int | None:
        """The level after that where procgen itself is to make it, else None."""
        return None

    @abstractmethod
    def save(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """Everything that decides what comes next, in these environments."""

    @abstractmethod
    def load(self, arrays: Any) -> None:
        """Take the arrays of `save`."""


class SampledLevels(LevelQueue):
    """procgen's own sequences: one std::mt19937 for each environment, kept on our side.

    procgen is given the one level that comes next, so its own generators can stay trivial, which
    makes states faster to read and write.
    """

    def __init__(self, seed: Seed, num: int, levels: Levels) -> None:
        self._low, self._size = levels[0], levels[1] - levels[0]
        if isinstance(seed, int):
            self._generators = level_generators(seed, num)
        else:  # each the first sequence of a seed of its own
            self._generators = [level_generators(own, 1)[0] for own in seed]
        self._raw = [generator._bit_generator.random_raw for generator in self._generators]
        self._upcoming = [self._draw(index) for index in range(num)]

    def _draw(self, index: int) -> int:
        return self._low + int(self._raw[index]()) % self._size

    def take(self, index: int) -> int:
        """See `LevelQueue`."""
        seed, self._upcoming[index] = self._upcoming[index], self._draw(index)
        return seed

    def following(self, index: int) -> int | None:
        """See `LevelQueue`."""
        return self._upcoming[index]

    def save(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """See `LevelQueue`."""
        words, places = zip(*(generator_words(g) for g in self._generators), strict=True)
        return {
            "queue_words": np.array(words, np.uint32)[which],
            "queue_places": np.array(places, np.int64)[which],
            "queue_upcoming": np.array(self._upcoming, np.int64)[which],
        }

    def load(self, arrays: Any) -> None:
        """See `LevelQueue`."""
        self._upcoming = arrays["queue_upcoming"].tolist()
        states = zip(arrays["queue_words"], arrays["queue_places"], strict=True)
        for generator, (words, place) in zip(self._generators, states, strict=True):
            generator.set_state(("MT19937", words, int(place), 0, 0.0))


class ListedLevels(LevelQueue):
    """The levels of a range one after the other, wherever an episode begins, again and again."""

    def __init__(self, levels: Levels) -> None:
        self._low, self._size = levels[0], levels[1] - levels[0]
        self._taken = 0

    def take(self, index: int) -> int:
        """See `LevelQueue`."""
        seed = self._low + self._taken % self._size
        self._taken += 1
        return seed

    def save(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """See `LevelQueue`."""
        return {"queue_taken": np.array([self._taken])}

    def load(self, arrays: Any) -> None:
        """See `LevelQueue`."""
        self._taken = int(arrays["queue_taken"][0])


class TaskQueue(LevelQueue):
    """Tasks, each given once to an environment that comes free; then the last one, unseen.

    Those with the longest limit first, else in order: so that, towards the end, few environments
    have nothing to play.

    Attributes:
        task: `[n]`, which task each environment plays; -1 for none.
    """

    def __init__(self, tasks: Sequence[Task], num: int) -> None:
        self.tasks = list(tasks)
        self.task = np.full(num, -1, np.int64)
        order = sorted(range(len(self.tasks)), key=lambda number: -self.tasks[number].limit)
        self._left = deque(order)
        self._branches: dict[int, Branch] = {}

    def take(self, index: int) -> int:
        """See `LevelQueue`."""
        self.task[index] = self._left.popleft() if self._left else -1
        return self.tasks[self.task[index]].level

    def add(self, task: Task, branch: Branch) -> int:
        """Append a task that goes on from a state; its number."""
        self.tasks.append(task)
        number = len(self.tasks) - 1
        self._left.append(number)
        self._branches[number] = branch
        return number

    def take_over(self, other: "TaskQueue") -> None:
        """Have the tasks of another queue, also those added to it."""
        self.tasks, self._branches = other.tasks, other._branches

    def branch(self, index: int) -> Branch | None:
        """What the task just given to an environment goes on from; None: its level's start."""
        return self._branches.pop(int(self.task[index]), None)

    def placement(self, index: int) -> Placement:
        """Of the task that an environment plays; without one it repeats the last task."""
        return parse_placement(self.tasks[self.task[index]].placement)

    def limit(self, index: int) -> int:
        """Steps until the episode of an environment is truncated; without a task, never."""
        return self.tasks[self.task[index]].limit if self.plays(index) else NEVER

    def plays(self, index: int) -> bool:
        """Whether an environment plays a task."""
        return bool(self.task[index] >= 0)

    def draws(self, index: int) -> bool:
        """Whether anybody looks at an environment's frames."""
        return self.plays(index) and self.tasks[self.task[index]].seen

    def save(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """See `LevelQueue`."""
        left = np.array(self._left, np.int64)
        return {"queue_left": left, "queue_task": self.task[which].copy()}

    def load(self, arrays: Any) -> None:
        """See `LevelQueue`."""
        self._left = deque(arrays["queue_left"].tolist())
        self.task[...] = arrays["queue_task"]
