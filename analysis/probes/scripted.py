"""The scripted baselines as actors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.probes.actors import Turn
from envs import CoinBlindPolicy, CoinSeekerPolicy


class BlindActor:
    """Always right and jump, whatever it sees."""

    def __call__(self, turn: Turn) -> NDArray[np.int64]:
        """The same action everywhere."""
        return CoinBlindPolicy()(turn.obs, turn.vector)


class SeekerActor:
    """Looks ahead in copies of the state and goes for the coin; to the end where there is none."""

    def __init__(self) -> None:
        self.policy = CoinSeekerPolicy()

    def __call__(self, turn: Turn) -> NDArray[np.int64]:
        """The next steps of plans made anew every few steps."""
        indices = np.flatnonzero(turn.on).tolist()
        return np.array([
            self.policy.act(turn.vector, index, task)
            for index, task in zip(indices, turn.task.tolist(), strict=True)
        ])  # fmt: skip
