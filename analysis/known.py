"""Policies of which it is known what every measure of behavior must say of them.

`rl-slt validate` asks them of this installation, next to the known answers of the estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.field import policy_field
from analysis.probes import FixedStates, GoalScores
from analysis.steering import ADD, PATCH, REPLACE, coin_vector, steer_states
from envs import PLAIN_FLAT, render_states, standing_states

LEFT, RIGHT, WIDTH = 1, 7, 24  # actions; units of the eye
EFFECT = 3.0  # logits that a coin on the left takes from moving right
LEVEL, SEEN, UNSEEN = 7, 5, 7  # of the field; columns to the coin that show and hide it


class Seer(nn.Module):
    """It moves right, but for a coin on the left, which one direction of its eye shows.

    The first pixel's first channel is 255 where a coin is on the left, its second where on the
    right; the third says something else that the policy does not use.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.eye, self.blind = nn.Linear(3, WIDTH, bias=False), nn.Identity()
        self.head = nn.Linear(WIDTH, 15)
        basis = torch.linalg.qr(torch.randn(WIDTH, 3, generator=generator))[0]
        self.eye.weight.data = basis
        self.head.weight.data.zero_()
        self.head.weight.data[RIGHT] = -EFFECT * basis[:, 0]
        self.head.bias.data.fill_(-30.0)
        self.head.bias.data[RIGHT], self.head.bias.data[LEFT] = 1.0, 0.0

    def forward(self, frames: Tensor) -> Tensor:
        """Logits `[B, 15]`."""
        seen = frames[:, 0, 0].float() / 255
        self.blind(seen[:, 2:])
        logits: Tensor = self.head(self.eye(seen))
        return logits


def seen_states(levels: int = 8) -> FixedStates:
    """States as `Seer` reads them, with no coin and with one on either side of each level."""
    rows, frames = [], []
    for level in range(levels):
        for condition, dx in (("none", np.nan), ("moved", -3.0), ("moved", 3.0), ("moved", -5.0)):
            frame = np.zeros((64, 64, 3), np.uint8)
            frame[0, 0] = (255 * (dx < 0), 255 * (dx > 0), 20 * level)
            frames.append(frame)
            rows.append((level, condition, dx, 0.0))
    table = pd.DataFrame(rows, columns=["level_seed", "condition", "dx", "dy"])
    return FixedStates(np.stack(frames), table)


def moved(logit: float) -> float:
    """P(right) - P(left) where the two differ by a logit and nothing else is likely."""
    return float(np.tanh(logit / 2))


def steered(change: str) -> tuple[float, float]:
    """What a change of the eye does to `Seer`: what the coin does, or undoes of it."""
    policy, scores = Seer(), GoalScores(seen_states())
    vector = coin_vector(policy, "eye", scores, "left")
    table = steer_states(policy, vector, scores, "left", controls=2)
    (found,) = table.loc[table["change"] == change, "value"].astype(float)
    effect = moved(1 - EFFECT) - moved(1)
    return found, -effect if change == REPLACE else effect


class Bright(nn.Module):
    """Right where the coin is in view, else left and up; the value is whether it is.

    Args:
        without: frames of the same cells with no coin.
    """

    def __init__(self, without: Tensor) -> None:
        super().__init__()
        self.without = without

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[B, 15]` and values `[B]`."""
        same = (frames[:, None] == self.without[None]).flatten(2).all(2).any(1)
        logits = torch.full((len(frames), 15), -40.0)
        logits[~same, RIGHT], logits[same, 2] = 0.0, 0.0
        return logits, (~same).float()


def pointed() -> tuple[float, float]:
    """How `Bright` points where it sees the coin less where it does not, halved: 1."""
    bare = standing_states(LEVEL, "none", PLAIN_FLAT)
    policy = Bright(torch.from_numpy(render_states([*bare.values()], PLAIN_FLAT)))
    field = policy_field(policy, LEVEL, ("end",), PLAIN_FLAT)
    away = max(x for x, _ in bare) - field["x"]
    near, far = (float(field.loc[part, "right"].mean()) for part in (away <= SEEN, away > UNSEEN))
    return (near - far) / 2, 1.0


KNOWN_ANSWERS: Mapping[str, Callable[[], tuple[float, float]]] = {
    "steering-add": partial(steered, ADD),
    "steering-replace": partial(steered, REPLACE),
    "steering-patch": partial(steered, PATCH),
    "field": pointed,
}
"""By name, functions to what was measured of a known policy and what it must be."""
