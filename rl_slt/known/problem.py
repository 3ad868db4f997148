"""A problem with its two truths: lambda, and the exact estimate at the settings in use."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import LossFunction, Policy, logits_of


@dataclass(frozen=True, eq=False)
class Problem:
    """What `estimate_llc` needs, and what it should find.

    Attributes:
        name: for tables.
        policy: at w*.
        data: the states.
        loss: the loss.
        nbeta: inverse temperature times N.
        localization: gamma.
        exact: `nbeta (E[L] - L(w*))` at this nbeta, gamma and w*.
        exact_error: standard error of `exact` where it comes from exact sampling, else 0.
        limit: lambda, the limit of large nbeta and small gamma; None where no formula is used.
        source: where the truth comes from.
    """

    name: str
    policy: nn.Module
    data: PolicyData
    loss: LossFunction
    nbeta: float
    localization: float
    exact: float
    exact_error: float
    limit: float | None
    source: str


class Weights(nn.Module):
    """One weight vector `[d]` as the output `[B, d]` on every state: a loss of weights alone."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(start.clone())

    def forward(self, states: Tensor) -> Tensor:
        """The weights, once per state."""
        return self.w.expand(len(states), -1)


def blank_data(n: int, dtype: torch.dtype = torch.float32) -> PolicyData:
    """N states that say nothing."""
    return PolicyData(torch.zeros(n, 1, dtype=dtype))


def squared_error(policy: Policy, batch: PolicyData) -> Tensor:
    """Mean over outputs of the squared error to the policy's own outputs at w*, `[B]`."""
    assert batch.reference_logits is not None
    return (logits_of(policy(batch.states)) - batch.reference_logits).square().mean(-1)
