"""A tabular softmax policy: one row of logits per state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem
from rl_slt.losses.kl import PolicyKL


class Table(nn.Module):
    """Logits `[S, A]` looked up by state id `[B]`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return self.logits[states]


def tabular(
    states: int = 12,
    visits: int = 40,
    localization: float = 1.0,
    nbeta: float = 2000.0,
    seed: int = 0,
) -> Problem:
    """S states with three actions, each visited equally often; lambda is `S (A - 1) / 2`.

    The posterior is a product over states, each a quadrature over its two logit differences.
    """
    generator = torch.Generator().manual_seed(seed)
    logits = 0.5 * torch.randn(states, 3, generator=generator)
    exact = sum(row_exact(row.numpy(), nbeta / states, localization) for row in logits)
    return Problem(
        name=f"tabular softmax {states}x3",
        policy=Table(logits),
        data=PolicyData(torch.arange(states).repeat(visits)),
        loss=PolicyKL(),
        nbeta=nbeta,
        localization=localization,
        exact=exact,
        exact_error=0.0,
        limit=float(states),
        source="quadrature",
    )


def row_exact(logits: np.ndarray, weight: float, localization: float) -> float:
    """`weight E[KL]` of one row of three logits; the common shift of a row integrates out."""
    p = np.exp(logits - logits.max())
    p /= p.sum()
    narrow = 12 / np.sqrt(min(weight * p.min() / 2, 1e12) + localization) + 0.2
    axis = np.linspace(-narrow, narrow, 601)
    # Orthonormal coordinates of the plane that the shift does not touch.
    b1, b2 = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
    delta = axis[:, None, None] * b1 + axis[None, :, None] * b2
    kl = np.log((p * np.exp(delta)).sum(-1)) - (p * delta).sum(-1)
    q = np.exp(-weight * kl - localization / 2 * (delta**2).sum(-1))
    return float(weight * (q * kl).sum() / q.sum())
