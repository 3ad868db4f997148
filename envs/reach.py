"""How far right agents can be, from where they were seen and the actions taken since.

CoinRun moves an agent by `v' = (1 - g) v + g SPEED d`, where d is the direction of its action
(-1, 0 or 1), and the gain g is 0.2 on the ground and 0.03 in the air (`update_agent_velocity`).
Whether it stands is not known, so the bound takes the larger v'; walls only slow it down:

    v' = max(0.8 v + 0.1 d, 0.97 v + 0.015 d, 0),    x' = x + v'
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SPEED = 0.5  # columns per step, the agent's `maxspeed`
_GROUND, _AIR = 0.2, 0.2 * 0.15  # `mixrate`, and with `air_control`
_SLACK = 0.05  # columns; an agent stands up to 0.01 deep in a wall, which then pushes it out
_DIRECTION = np.array([-1, -1, -1, 0, 0, 0, 1, 1, 1, *[0] * 6], np.float64)  # of the 15 actions


class Reach:
    """Upper bounds on the columns `x` of `num` agents' centres, float64 [num]."""

    def __init__(self, num: int) -> None:
        self.x = np.zeros(num)
        self._velocity = np.zeros(num)

    def set(self, index: int, x: float, velocity: float) -> None:
        """An agent was seen there, moving by so many columns per step."""
        self.x[index], self._velocity[index] = x + _SLACK, velocity

    def act(self, actions: NDArray[Any]) -> None:
        """These actions int [num], 0 to 14, are taken."""
        push, v = SPEED * _DIRECTION[actions], self._velocity
        ground, air = v + _GROUND * (push - v), v + _AIR * (push - v)
        self._velocity = np.maximum(np.maximum(ground, air), 0)
        self.x += self._velocity
