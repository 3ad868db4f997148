"""Infos of the vector environment: what is told at each step and at the end of an episode."""

from collections.abc import Callable
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
        infos = self._places(mask)
        if self._track:
            _add(infos, mask, **self._tracked(np.zeros(len(mask), np.bool_)))
        return infos

    def final(
        self, mask: Mask, outcome: NDArray[np.object_], causes: NDArray[np.object_]
    ) -> dict[str, Any]:
        """Infos of the episodes in `mask`, which ended so and died of that: other rows are blank.

        Outcomes are `coin`, `death`, `timeout`, and `end` where the environment stopped there.
        """
        episodes = self._episodes
        infos = self._places(mask)
        length = episodes.length
        _add(
            infos, mask, outcome=outcome, death_cause=causes, ret=episodes.ret.copy(), length=length
        )
        if self._track:
            coin = outcome == "coin"
            displaced = self._displaced_was_nearer()
            at_end = np.where(episodes.two_coins, ~displaced, episodes.coin_at_end)
            episodes.end_reached |= coin & at_end
            _add(infos, mask, **self._tracked(coin & displaced))
        return infos

    def _tracked(self, collected: Mask) -> dict[str, Any]:
        episodes = self._episodes
        return {
            "agent_xy": episodes.agent_xy.copy(),
            "end_reached": episodes.end_reached.copy(),
            "coin_collected": collected,
        }

    def _displaced_was_nearer(self) -> Mask:
        """Where the last known position was nearer to the displaced coin than to the end's."""
        episodes = self._episodes
        to_coin = np.abs(episodes.agent_xy - episodes.coin_xy - 0.5).sum(axis=1)
        to_end = np.abs(episodes.agent_xy - episodes.end_xy - 0.5).sum(axis=1)
        nearer: Mask = ~episodes.two_coins | (to_coin < to_end)
        return nearer

    def _places(self, mask: Mask) -> dict[str, Any]:
        """Level seeds and places, and Gymnasium's `_name` masks."""
        episodes = self._episodes
        seeds = episodes.level_seed.copy()
        if self._end_of is not None:
            return LazyInfos(seeds, mask, self._end_of)
        coin, end = episodes.coin_xy.copy(), episodes.end_xy[:, 0].copy()
        infos: dict[str, Any] = {}
        _add(infos, mask, level_seed=seeds, coin_xy=coin, end_x=end)
        return infos


def _add(infos: dict[str, Any], mask: Mask, **values: Any) -> None:
    """Put values into infos, each with its mask."""
    for name, value in values.items():
        infos[name], infos["_" + name] = value, mask
