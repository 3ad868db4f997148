"""`L = 1/2 sum h_i w_i^2`: everything in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem, Weights, blank_data
from rl_slt.losses.base import Policy, logits_of


def quadratic(
    curvatures: tuple[float, ...], nbeta: float = 100.0, localization: float = 1.0, n: int = 8
) -> Problem:
    """The quadratic with the given curvatures h around w* = 0.

    The posterior is Gaussian with precisions `a_i = nbeta h_i + gamma`, so the exact estimate is
    `1/2 sum nbeta h_i / a_i` and lambda is half the number of positive curvatures.
    """
    h = torch.tensor(curvatures)

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        return 0.5 * (h * logits_of(policy(batch.states)).square()).sum(-1)

    return Problem(
        name=f"quadratic {len(curvatures)}",
        policy=Weights(torch.zeros(len(curvatures))),
        data=blank_data(n),
        loss=loss,
        nbeta=nbeta,
        localization=localization,
        exact=sum(0.5 * nbeta * x / (nbeta * x + localization) for x in curvatures),
        exact_error=0.0,
        limit=0.5 * sum(x > 0 for x in curvatures),
        source="closed form",
    )


def sgld_stationary(
    curvatures: tuple[float, ...], nbeta: float, localization: float, step_size: float
) -> float:
    """What full-batch SGLD itself gives: variances `1 / (a (1 - eps a / 4))` for `eps a < 4`."""
    total = 0.0
    for h in curvatures:
        a = nbeta * h + localization
        total += 0.5 * nbeta * h / (a * (1 - step_size * a / 4))
    return total
