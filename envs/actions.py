"""Procgen's 15 actions: pairs of keys, of which CoinRun and Maze heed the arrows alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTION_NAMES = (
    "left+down", "left", "left+up", "down", "none", "up", "right+down", "right", "right+up",
    "d", "a", "w", "s", "q", "e",
)  # fmt: skip
"""Names of procgen's 15 actions, by number."""
N_ACTIONS = len(ACTION_NAMES)
"""How many actions procgen has: 15."""
LEFT = 1
"""Number of the action `left`."""
LEFT_JUMP = 2
"""Number of the action `left+up`."""
NOOP = 4
"""Number of the action `none`."""
JUMP = 5
"""Number of the action `up`."""
RIGHT = 7
"""Number of the action `right`."""
RIGHT_JUMP = 8
"""Number of the action `right+up`."""
IDLE = (NOOP, *range(9, N_ACTIONS))
"""Actions that do nothing in CoinRun, where the letters are not heeded."""
# Classes of actions that do the same there.
DISTINCT = ((0,), (1,), (2,), (3,), IDLE, (5,), (6,), (7,), (8,))
DIRECTION: NDArray[np.int64] = np.array([-1, -1, -1, 0, 0, 0, 1, 1, 1, *[0] * 6])
"""Columns that each action pushes the agent in CoinRun and Maze: -1, 0 or 1 `[15]`."""
MOVES = {"left": (0, 1, 2), "right": (6, 7, 8)}
"""Actions by the direction that they push to; the others push nowhere."""


def horizontal(actions: NDArray[Any]) -> NDArray[np.int64]:
    """-1 (left), 0 or 1 (right) for each of these actions, any shape.

    Args:
        actions: numbers of procgen's 15 actions, any shape.
    """
    return np.asarray(DIRECTION[actions])
