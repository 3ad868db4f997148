"""The scripted baselines as actors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.probes.actors import Turn

RIGHT_JUMP = 8


class BlindActor:
    """Always right and jump, whatever it sees."""

    needs_track = False

    def __call__(self, turn: Turn) -> NDArray[np.int64]:
        return np.full(len(turn.t), RIGHT_JUMP)
