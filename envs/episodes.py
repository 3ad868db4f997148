"""The running episodes: plain arrays, one row per environment, and the infos made of them.

Lengths and limits are kept as times on one clock, as Python's numbers: a step then costs one
addition, and each of numpy's functions takes longest just after a step of procgen (its caches are
cold then).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell

NO_COIN = -1
Mask = NDArray[np.bool_]


class Episodes:
    """Counters and positions [n] of the running episodes; saved and restored as arrays.

    Args:
        num: of environments.
        limit: steps until an episode is truncated.
        track: whether infos hold what a tracker finds.
    """

    FIELDS = (
        *("number", "ret", "coin_xy", "end_xy", "two_coins"),
        *("agent_xy", "end_reached", "coin_at_end", "level_seed"),
    )

    def __init__(self, num: int, limit: int, track: bool) -> None:
        self._track = track
        self._clock = 0  # steps of all environments together
        self._began = [0] * num
        self._limits = [limit] * num
        self._soonest = 0  # no episode reaches its limit before
        self._everywhere, self._nowhere = np.ones(num, np.bool_), np.zeros(num, np.bool_)
        self.number = np.zeros(num, np.int64)  # episodes begun
        self.ret = np.zeros(num, np.float64)  # raw return
        self.coin_xy = np.full((num, 2), NO_COIN, np.int32)  # the displaced coin
        self.end_xy = np.zeros((num, 2), np.int32)
        self.two_coins = np.zeros(num, np.bool_)
        self.coin_at_end = np.zeros(num, np.bool_)
        self.agent_xy = np.zeros((num, 2), np.float32)  # center of the agent
        self.end_reached = np.zeros(num, np.bool_)
        self.level_seed = np.zeros(num, np.int32)

    def begin(
        self,
        index: int,
        level_seed: int,
        coins: tuple[Cell, ...],
        end: Cell,
        agent: tuple[float, float],
        steps: int = 0,
    ) -> None:
        """Begin the next episode of one environment: its level, and where things are in it.

        `steps` of it were taken elsewhere.
        """
        self.number[index] += 1
        self._began[index] = self._clock - steps
        self.limit(index, self._limits[index])
        self.ret[index], self.end_reached[index] = 0, False
        self.level_seed[index] = level_seed
        coin = coins[0] if coins else (NO_COIN, NO_COIN)
        for array, (x, y) in ((self.coin_xy, coin), (self.end_xy, end), (self.agent_xy, agent)):
            array[index, 0], array[index, 1] = x, y
        self.two_coins[index] = len(coins) > 1
        self.coin_at_end[index] = end in coins

    def limit(self, index: int, steps: int) -> None:
        """Truncate the running episode of one environment, and later ones, after these steps."""
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

    def infos(self, mask: Mask | None = None) -> dict[str, Any]:
        """Infos of one step in Gymnasium's vector form: a row for each environment, and masks.

        Args:
            mask: of the environments to report, bool [n]; None is all.
        """
        return self._infos(self._everywhere if mask is None else mask, self._nowhere)

    def final(
        self, mask: Mask, outcome: NDArray[np.object_], causes: NDArray[np.object_]
    ) -> dict[str, Any]:
        """Infos of the episodes in `mask` that just ended; other rows are blank.

        Args:
            mask: bool [n].
            outcome: `coin`, `death`, `timeout`, or `end` where the environment stopped there [n].
            causes: what killed the agents [n].
        """
        collected = self._nowhere
        if self._track:
            coin = outcome == "coin"
            # Of two coins, the one nearer to where the agent was last seen was taken.
            to_coin = np.abs(self.agent_xy - self.coin_xy - 0.5).sum(axis=1)
            to_end = np.abs(self.agent_xy - self.end_xy - 0.5).sum(axis=1)
            displaced = ~self.two_coins | (to_coin < to_end)
            self.end_reached |= coin & np.where(self.two_coins, ~displaced, self.coin_at_end)
            collected = coin & displaced
        infos = self._infos(mask, collected)
        ends = {"outcome": outcome, "death_cause": causes, "ret": self.ret, "length": self.length}
        for name, value in ends.items():
            infos[name], infos["_" + name] = value.copy(), mask
        return infos

    def _infos(self, mask: Mask, collected: Mask) -> dict[str, Any]:
        """Levels and places (copies, as infos may be kept), each with Gymnasium's `_name` mask."""
        infos: dict[str, Any] = {
            "level_seed": self.level_seed.copy(), "_level_seed": mask,
            "coin_xy": self.coin_xy.copy(), "_coin_xy": mask,
            "end_x": self.end_xy[:, 0].copy(), "_end_x": mask,
        }  # fmt: skip
        if self._track:
            infos |= {
                "agent_xy": self.agent_xy.copy(), "_agent_xy": mask,
                "end_reached": self.end_reached.copy(), "_end_reached": mask,
                "coin_collected": collected.copy(), "_coin_collected": mask,
            }  # fmt: skip
        return infos

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
