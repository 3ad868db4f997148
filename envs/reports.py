"""Infos of the vector environment: what is told at each step and at the end of an episode."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.episodes import Episodes
from envs.infos import LazyInfos
from envs.layout import Cell

Mask = NDArray[np.bool_]


class Reporter:
    """Writes infos from the episodes' arrays.

    `end_of` gives the end cell of a level seed: with it, coin and end are worked out only when
    read (stock levels, coin at the end); without it they are copied from the arrays.
    """

    def __init__(
        self, episodes: Episodes, track: bool, end_of: Callable[[int], Cell] | None
    ) -> None:
        self._episodes, self._track, self._end_of = episodes, track, end_of

    def infos(self, mask: Mask) -> dict[str, Any]:
        """Infos of one step, all arrays with a row for each environment."""
        episodes = self._episodes
        values: dict[str, Any] = {}
        if self._track:
            values["agent_xy"] = episodes.agent_xy.copy()
            values["end_reached"] = episodes.end_reached.copy()
            values["coin_collected"] = np.zeros(len(mask), np.bool_)
        return self._with_places(values, mask)

    def final(
        self, mask: Mask, coin: Mask, stopped: Mask, causes: NDArray[np.object_]
    ) -> dict[str, Any]:
        """Infos of the episodes in `mask`, which ended: other rows are blank.

        `outcome` is `coin` whenever a coin was collected, `end` when the environment stopped at
        the end column, `death` where `causes` says of what, else `timeout`.
        """
        episodes = self._episodes
        outcome = np.full(len(mask), "", object)
        for index in np.flatnonzero(mask).tolist():
            other = "end" if stopped[index] else "timeout"
            outcome[index] = "coin" if coin[index] else "death" if causes[index] else other
        values: dict[str, Any] = {
            "outcome": outcome,
            "death_cause": causes,
            "ret": episodes.ret.copy(),
            "length": episodes.length.copy(),
        }
        if self._track:
            displaced = self._displaced_was_nearer()
            at_end = np.where(episodes.two_coins, ~displaced, episodes.coin_at_end)
            episodes.end_reached |= coin & at_end
            values["agent_xy"] = episodes.agent_xy.copy()
            values["end_reached"] = episodes.end_reached.copy()
            values["coin_collected"] = coin & displaced
        return self._with_places(values, mask)

    def _displaced_was_nearer(self) -> Mask:
        """Where the last known position was nearer to the displaced coin than to the end's."""
        episodes = self._episodes
        to_coin = np.abs(episodes.agent_xy - episodes.coin_xy - 0.5).sum(axis=1)
        to_end = np.abs(episodes.agent_xy - episodes.end_xy - 0.5).sum(axis=1)
        nearer: Mask = ~episodes.two_coins | (to_coin < to_end)
        return nearer

    def _with_places(self, values: dict[str, Any], mask: Mask) -> dict[str, Any]:
        """The values with level seeds and places, and Gymnasium's `_name` masks."""
        episodes = self._episodes
        seeds = values["level_seed"] = episodes.level_seed.copy()
        for name in (*values, "coin_xy", "end_x"):
            values["_" + name] = mask
        if self._end_of is None:
            values["coin_xy"] = episodes.coin_xy.copy()
            values["end_x"] = episodes.end_xy[:, 0].copy()
            return values
        return LazyInfos(values, partial(_ends, seeds, self._end_of))


def _ends(seeds: NDArray[np.int32], end_of: Callable[[int], Cell]) -> dict[str, Any]:
    """Coin and end of levels whose coin lies at the end."""
    ends = np.array([end_of(int(seed)) for seed in seeds], np.int32)
    return {"coin_xy": ends, "end_x": ends[:, 0].copy()}
