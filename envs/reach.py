"""How far right and how low agents can be, from where they were seen and the actions taken since.

CoinRun moves an agent by `v' = (1 - g) v + g SPEED d`, where d is the direction of its action
(-1, 0 or 1), and the gain g is 0.2 on the ground and 0.03 in the air (`update_agent_velocity`).
Whether it stands is not known, so the bound takes the larger v'; walls only slow it down:

    v' = max(0.8 v + 0.1 d, 0.97 v + 0.015 d, 0),    x' = x + v'

In the air it falls faster by 0.2 rows per step each step; a ceiling takes its upward speed:

    u' = min(u, 0) - 0.2,    y' = y + u'
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.actions import DIRECTION
from envs.state import Motion

SPEED = 0.5  # columns per step, the agent's `maxspeed`
_GROUND, _AIR = 0.2, 0.2 * 0.15  # `mixrate`, and with `air_control`
_GRAVITY = 0.2  # rows per step, each step
_SLACK = 0.05  # columns; an agent stands up to 0.01 deep in a wall, which then pushes it out


def fewest_steps(columns: float) -> int:
    """Fewest steps in which an agent can get that many columns farther; 0 for none."""
    return max(0, math.floor((columns - _SLACK) / SPEED))


class Reach:
    """Bounds on `num` agents' centres: upper on columns `x`, lower on rows `y`, float64 [num]."""

    def __init__(self, num: int) -> None:
        self.x, self.y = np.zeros(num), np.zeros(num)
        self._right, self._up = np.zeros(num), np.zeros(num)  # velocities

    def set(self, index: int, motion: Motion) -> None:
        """An agent was seen: its place (columns, rows), and its velocity in cells per step."""
        x, y, right, up = motion
        self.x[index], self.y[index] = x + _SLACK, y - _SLACK
        self._right[index], self._up[index] = right, up

    def act(self, actions: NDArray[Any]) -> None:
        """These actions int [num], 0 to 14, are taken."""
        push, v = SPEED * DIRECTION[actions], self._right
        ground, air = v + _GROUND * (push - v), v + _AIR * (push - v)
        self._right = np.maximum(np.maximum(ground, air), 0)
        self.x += self._right
        self._up = np.minimum(self._up, 0) - _GRAVITY
        self.y += self._up
