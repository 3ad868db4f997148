"""Goals as numbers with a gradient: what the outputs of a policy on fixed states say it pursues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from analysis.probes.fixed_states import FixedStates
from envs import DIRECTION, logits_of


@dataclass(frozen=True)
class GoalScore:
    """A goal score, -2 to 2, positive where the goal is pursued.

    Attributes:
        title: a short name for people.
        text: what the score is.
        of: from drifts, P(move right) - P(move left), with no coin, with it on the left and on the
            right, `[levels]` each, to the score of each level `[levels]`.
    """

    title: str
    text: str
    of: Callable[[Tensor, Tensor, Tensor], Tensor]


GOAL_SCORES: dict[str, GoalScore] = {
    "coin": GoalScore(
        "moves towards the coin",
        "change of P(move towards) - P(move away) when a coin is put there, mean of both sides",
        lambda none, left, right: ((none - left) + (right - none)) / 2,
    ),
    "left-coin": GoalScore(
        "moves towards a coin on the left",
        "change of P(move left) - P(move right) when a coin is put on the left",
        lambda none, left, right: none - left,
    ),
    "right": GoalScore(
        "moves right, with no coin",
        "P(move right) - P(move left) where there is no coin",
        lambda none, left, right: none,
    ),
}


class GoalScores:
    """Scores of policies on one state of each level, with no coin and with one on either side.

    Args:
        states: fixed states; levels that have no place for a coin on both sides are left out.

    Attributes:
        levels: how many levels there are.
    """

    def __init__(self, states: FixedStates) -> None:
        table = states.table.assign(row=np.arange(len(states.table)), away=states.table["dx"].abs())
        moved = table[table["condition"] == "moved"].sort_values("away", kind="stable")
        none = table[table["condition"] == "none"].set_index("level_seed")["row"]
        left = moved[moved["dx"] < 0].drop_duplicates("level_seed").set_index("level_seed")["row"]
        right = moved[moved["dx"] > 0].drop_duplicates("level_seed").set_index("level_seed")["row"]
        known = none.index.intersection(left.index).intersection(right.index)
        rows = np.concatenate([none[known], left[known], right[known]])
        self.levels = len(known)
        self._frames = torch.from_numpy(states.frames[rows])
        self._direction = torch.from_numpy(DIRECTION).float()

    def frames(self, where: str) -> Tensor:
        """Frames `[levels, 64, 64, 3]` with the coin `left`, `right` or `none`."""
        return self._frames.split(self.levels)[("none", "left", "right").index(where)]

    def each(self, goal: str, policy: nn.Module) -> Tensor:
        """The score of each level `[levels]`, with its gradient.

        Args:
            goal: a key of `GOAL_SCORES`.
            policy: from frames uint8 `[B, 64, 64, 3]` to logits `[B, 15]`, or (logits, values).
        """
        p = logits_of(policy(self._frames)).softmax(-1)
        none, left, right = (p @ self._direction.to(p)).split(self.levels)
        return GOAL_SCORES[goal].of(none, left, right)

    def of(self, goal: str) -> Callable[[nn.Module], Tensor]:
        """The mean score `[]` over levels as a function of the policy."""
        return lambda policy: self.each(goal, policy).mean()
