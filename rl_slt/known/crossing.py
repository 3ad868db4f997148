"""Normal crossings `L = prod w_j^(2 k_j)`, the local form of every singularity."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem, Weights, blank_data
from rl_slt.losses.base import Policy, logits_of


def crossing(
    powers: tuple[int, ...], nbeta: float = 1000.0, localization: float = 1.0, n: int = 8
) -> Problem:
    """The crossing of two weights around w* = 0; lambda is `1 / (2 max k)`.

    The exact value is a quadrature over the plane (Watanabe 2009 for lambda).
    """
    k = torch.tensor(powers)

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        return logits_of(policy(batch.states)).square().pow(k).prod(-1)

    return Problem(
        name=f"crossing {powers}",
        policy=Weights(torch.zeros(len(powers))),
        data=blank_data(n),
        loss=loss,
        nbeta=nbeta,
        localization=localization,
        exact=crossing_exact(powers, nbeta, localization),
        exact_error=0.0,
        limit=1 / (2 * max(powers)),
        source="quadrature",
    )


def crossing_exact(powers: tuple[int, ...], nbeta: float, localization: float) -> float:
    """`nbeta E[L]` for two weights, by the trapezoid rule in `u = asinh(scale w)`."""
    assert len(powers) == 2
    scale = 1e3
    u = np.linspace(0, np.arcsinh(scale * 9 / localization**0.5), 1501)
    w, weight = np.sinh(u) / scale, np.cosh(u)
    weight[0] *= 0.5
    x, y = np.meshgrid(w, w, indexing="ij")
    loss = x ** (2 * powers[0]) * y ** (2 * powers[1])
    log_p = -nbeta * loss - localization / 2 * (x**2 + y**2)
    p = np.exp(log_p) * weight[:, None] * weight[None, :]
    return float(nbeta * (p * loss).sum() / p.sum())
