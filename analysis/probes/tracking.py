"""A vector environment that follows agents no more often than it must.

Where an agent is can be read only from procgen's whole serialised state, which costs two to five
steps. But it moves at most half a column per step, so until it can have reached something that
matters there is nothing to see: distances tell when to look again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.probes.suite import ProbeSuite, coin_at_end
from envs.config import make_config
from envs.state import State, agent_xy
from envs.vector import ProcgenVectorEnv

_REACH = 1.0  # columns between centres at which two boxes touch
_SPEED = 0.5  # columns per step, the agent's `maxspeed`
_CLOSING = 0.65  # the same against an enemy that walks towards it (0.15)
_NEAR_HAZARD = 2  # steps between looks beside something deadly, to name the cause of a death


class SparselyTracked(ProcgenVectorEnv):
    """Ends an episode at the very step at which full tracking would; positions may be old.

    `end_reached`, `coin_collected` and `outcome` are exact. `agent_xy` is where the agent was
    last seen, at most two steps before a death.
    """

    def _begin(self, index: int, state: State) -> None:
        super()._begin(index, state)
        if not hasattr(self, "_due"):
            self._due = np.zeros(self.num_envs, dtype=np.int64)
        self._due[index] = self._wait(index)

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
        x = float(self._episodes.agent_xy[index, 0])
        hazards, spots = self._hazards[index], [self._episodes.end_xy[index, 0]]
        if self._episodes.two_coins[index]:  # which of two was taken is told from the position
            spots.append(self._episodes.coin_xy[index, 0])
        far = min(abs(spot + 0.5 - x) for spot in spots)
        wait = max(1, int((far - _REACH) / _SPEED) - 1)
        deadly = (
            (hazards.saw, _SPEED), (hazards.lava, _SPEED), (hazards.enemy, _CLOSING)
        )  # fmt: skip
        for cells, speed in deadly:
            if len(cells):
                far = float(np.abs(cells[:, 0] + 0.5 - x).min())
                wait = min(wait, max(_NEAR_HAZARD, int((far - _REACH) / speed) - 1))
        return wait


def probe_env(
    placement: str, suite: ProbeSuite, num_envs: int, *, every_step: bool = False
) -> ProcgenVectorEnv:
    """The levels of a suite in order, tracked; ends at the end column where no coin lies there.

    Args:
        placement: of coin and start, as text.
        suite: levels, time limit and look.
        num_envs: environments at once.
        every_step: track positions at each step rather than as rarely as outcomes allow.
    """
    config = make_config(
        num_envs,
        placement,
        (suite.levels[0], suite.levels[0] + suite.n_levels),
        0,
        settings=suite.settings,
        time_limit=suite.time_limit,
        track=True,
        order="sequential",
        stop_at_end=not coin_at_end(placement),
    )
    return (ProcgenVectorEnv if every_step else SparselyTracked)(config)
