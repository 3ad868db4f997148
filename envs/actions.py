"""Procgen's 15 actions: pairs of keys, of which CoinRun and Maze heed the arrows alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTION_NAMES = (
    "left+down", "left", "left+up", "down", "none", "up", "right+down", "right", "right+up",
    "d", "a", "w", "s", "q", "e",
)  # fmt: skip
N_ACTIONS = len(ACTION_NAMES)
LEFT, LEFT_JUMP, NOOP, JUMP, RIGHT, RIGHT_JUMP = 1, 2, 4, 5, 7, 8
IDLE = (NOOP, *range(9, N_ACTIONS))  # alike in CoinRun, where the letters do nothing
# Classes of actions that do the same there.
DISTINCT = ((0,), (1,), (2,), (3,), IDLE, (5,), (6,), (7,), (8,))
# Columns that an action pushes the agent in CoinRun and Maze, -1, 0 or 1 [15].
DIRECTION: NDArray[np.int64] = np.array([-1, -1, -1, 0, 0, 0, 1, 1, 1, *[0] * 6])
MOVES = {"left": (0, 1, 2), "right": (6, 7, 8)}  # actions by direction; the others push nowhere


def horizontal(actions: NDArray[Any]) -> NDArray[np.int64]:
    """-1 (left), 0 or 1 (right) for each of these actions, any shape."""
    return np.asarray(DIRECTION[actions])
