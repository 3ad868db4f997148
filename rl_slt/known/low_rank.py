"""A softmax policy whose logits are a product of two matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem
from rl_slt.known.reduced_rank import padded_factors, reduced_rank_limit
from rl_slt.losses.kl import PolicyKL


class LowRankPolicy(nn.Module):
    """Logits `A[s] B`: a state's row `[H]` times a matrix `[H, actions]`."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.state_factor = nn.Parameter(first.T.contiguous())
        self.action_factor = nn.Parameter(second.T.contiguous())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]` of state ids `[B]`."""
        return self.state_factor[states] @ self.action_factor


def low_rank_policy(
    sizes: tuple[int, int, int, int], visits: int = 64, scale: float = 0.7, seed: int = 0
) -> tuple[LowRankPolicy, PolicyData]:
    """A policy of S states, H hidden, A actions and rank r, and each state visited equally often.

    The shift common to all logits of a state changes nothing, so lambda is the reduced-rank value
    with one output fewer: sizes (S, H, A - 1, r).
    """
    states, hidden, actions, rank = sizes
    generator = torch.Generator().manual_seed(seed)
    first, second = padded_factors(states, hidden, actions, rank, generator)
    policy = LowRankPolicy(scale * first, scale * second)
    return policy, PolicyData(torch.arange(states).repeat(visits))


def low_rank(
    sizes: tuple[int, int, int, int], exact: float, exact_error: float, localization: float = 1.0
) -> Problem:
    """The low-rank policy as a problem, at `nbeta = n / log n`."""
    policy, data = low_rank_policy(sizes)
    states, hidden, actions, rank = sizes
    return Problem(
        name=f"low-rank softmax {sizes}",
        policy=policy,
        data=data,
        loss=PolicyKL(),
        nbeta=len(data) / math.log(len(data)),
        localization=localization,
        exact=exact,
        exact_error=exact_error,
        limit=reduced_rank_limit(states, hidden, actions - 1, rank),
        source="exact sampling",
    )
