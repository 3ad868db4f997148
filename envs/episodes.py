"""What is known of the running episodes: plain arrays, one row per environment.

Lengths and limits are kept as times on one clock, as Python's numbers: a step then costs one
addition, and each of numpy's functions takes longest just after a step of procgen (its caches are
cold then).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.layout import Cell

NO_COIN = -1


class Episodes:
    """Counters and positions [n] of the running episodes; saved and restored as arrays."""

    FIELDS = (
        *("number", "ret", "coin_xy", "end_xy", "two_coins"),
        *("agent_xy", "end_reached", "coin_at_end", "level_seed"),
    )

    def __init__(self, num: int, limit: int) -> None:
        self._clock = 0  # steps of all environments together
        self._began = [0] * num
        self._limits = [limit] * num
        self._soonest = 0  # no episode reaches its limit before
        self.number = np.zeros(num, np.int64)  # episodes begun
        self.ret = np.zeros(num, np.float64)  # raw return
        self.coin_xy = np.full((num, 2), NO_COIN, np.int32)  # the displaced coin
        self.end_xy = np.zeros((num, 2), np.int32)
        self.two_coins = np.zeros(num, np.bool_)
        self.coin_at_end = np.zeros(num, np.bool_)
        self.agent_xy = np.zeros((num, 2), np.float32)  # centre of the agent
        self.end_reached = np.zeros(num, np.bool_)
        self.level_seed = np.zeros(num, np.int32)

    def begin(self, index: int) -> None:
        """Set the counters of one environment for a new episode."""
        self.number[index] += 1
        self._began[index] = self._clock
        self.ret[index] = 0
        self.end_reached[index] = False
        self.limit(index, self._limits[index])

    def limit(self, index: int, steps: int) -> None:
        """Let the running episode of one environment, and those after it, have so many steps."""
        self._limits[index] = steps
        self._soonest = min(self._soonest, self._began[index] + steps)

    def step(self) -> list[int]:
        """Count a step of all; the environments whose episodes reach their limit by it."""
        self._clock += 1
        if self._clock < self._soonest:
            return []
        ends = [began + limit for began, limit in zip(self._began, self._limits, strict=True)]
        self._soonest = max(min(ends), self._clock + 1)
        return [index for index, end in enumerate(ends) if end <= self._clock]

    @property
    def length(self) -> NDArray[np.int32]:
        """Steps of the running episodes."""
        return np.array([self._clock - began for began in self._began], np.int32)

    def place(
        self, index: int, coins: tuple[Cell, ...], end: Cell, agent: tuple[float, float]
    ) -> None:
        """Set where things are in one environment as its episode begins."""
        coin = coins[0] if coins else (NO_COIN, NO_COIN)
        for array, (x, y) in ((self.coin_xy, coin), (self.end_xy, end), (self.agent_xy, agent)):
            array[index, 0], array[index, 1] = x, y
        self.two_coins[index] = len(coins) > 1
        self.coin_at_end[index] = end in coins

    def save(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        arrays = {name: getattr(self, name).copy() for name in self.FIELDS}
        return arrays | {"length": self.length}

    def load(self, arrays: Any) -> None:
        """Take the arrays of `save`."""
        for name in self.FIELDS:
            getattr(self, name)[...] = arrays[name]
        self._began = [self._clock - int(length) for length in arrays["length"]]
        self._soonest = 0
