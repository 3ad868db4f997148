"""What is known of the running episodes: plain arrays, one row per environment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.layout import Cell

NO_COIN = -1


class Episodes:
    """Counters and positions [n] of the running episodes; saved and restored as arrays."""

    FIELDS = (
        *("number", "length", "ret", "coin_xy", "end_xy", "two_coins"),
        *("agent_xy", "end_reached", "coin_at_end", "level_seed"),
    )

    def __init__(self, num: int) -> None:
        self.number = np.zeros(num, np.int64)  # episodes begun
        self.length = np.zeros(num, np.int32)  # steps
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
        self.length[index] = 0
        self.ret[index] = 0
        self.end_reached[index] = False

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
        return {name: getattr(self, name).copy() for name in self.FIELDS}

    def load(self, arrays: Any) -> None:
        """Take the arrays of `save`."""
        for name in self.FIELDS:
            getattr(self, name)[...] = arrays[name]
