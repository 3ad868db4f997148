"""Problems with two truths: lambda, and the exact estimate at the settings in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import LossFunction, Policy, logits_of
from rl_slt.losses.kl import PolicyKL


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
        lambda_: the learning coefficient, the limit of large nbeta and small gamma.
        exact_error: standard error of `exact` where it comes from exact sampling, else 0.
        source: where the truth comes from.
    """

    name: str
    policy: nn.Module
    data: PolicyData
    loss: LossFunction
    nbeta: float
    localization: float
    exact: float
    lambda_: float
    exact_error: float = 0.0
    source: str = "quadrature"


class Weights(nn.Module):
    """One weight vector `[d]` as the output `[B, d]` on every state: a loss of weights alone."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, states: Tensor) -> Tensor:
        """The weights, once per state."""
        return self.w.expand(len(states), -1)


class Table(nn.Module):
    """Logits `[S, A]` looked up by state id `[B]`."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return self.logits[states]


def quadratic(
    curvatures: tuple[float, ...], nbeta: float = 100.0, localization: float = 1.0, n: int = 8
) -> Problem:
    """The quadratic `L = 1/2 sum h_i w_i^2` around w* = 0.

    The posterior is Gaussian with precisions `a_i = nbeta h_i + gamma`, so the exact estimate is
    `1/2 sum nbeta h_i / a_i` and lambda is half the number of positive curvatures.

    Args:
        curvatures: h.
        nbeta: inverse temperature times N.
        localization: gamma.
        n: states, which say nothing.
    """
    h = torch.tensor(curvatures)

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        return 0.5 * (h * logits_of(policy(batch.states)).square()).sum(-1)

    return Problem(
        name=f"quadratic {len(curvatures)}",
        policy=Weights(torch.zeros(len(curvatures))),
        data=PolicyData(torch.zeros(n, 1)),
        loss=loss,
        nbeta=nbeta,
        localization=localization,
        exact=sum(0.5 * nbeta * x / (nbeta * x + localization) for x in curvatures),
        lambda_=0.5 * sum(x > 0 for x in curvatures),
        source="closed form",
    )


def sgld_stationary(
    curvatures: tuple[float, ...], nbeta: float, localization: float, step_size: float
) -> float:
    """What full-batch SGLD itself gives on the quadratic, step-size bias included.

    Its variances are `1 / (a (1 - eps a / 4))` for `eps a < 4`.
    """
    a = [nbeta * h + localization for h in curvatures]
    pairs = zip(curvatures, a, strict=True)
    return sum(0.5 * nbeta * h / (x * (1 - step_size * x / 4)) for h, x in pairs)


def crossing(
    powers: tuple[int, int], nbeta: float = 1000.0, localization: float = 1.0, n: int = 8
) -> Problem:
    """The normal crossing `L = prod w_j^(2 k_j)` of two weights around w* = 0.

    It is the local form of every singularity; lambda is `1 / (2 max k)` (Watanabe 2009).

    Args:
        powers: k.
        nbeta: inverse temperature times N.
        localization: gamma.
        n: states, which say nothing.
    """
    k = torch.tensor(powers)

    def loss(policy: Policy, batch: PolicyData) -> Tensor:
        return logits_of(policy(batch.states)).square().pow(k).prod(-1)

    return Problem(
        name=f"crossing {powers}",
        policy=Weights(torch.zeros(len(powers))),
        data=PolicyData(torch.zeros(n, 1)),
        loss=loss,
        nbeta=nbeta,
        localization=localization,
        exact=crossing_exact(powers, nbeta, localization),
        lambda_=1 / (2 * max(powers)),
    )


def crossing_exact(powers: tuple[int, int], nbeta: float, localization: float) -> float:
    """`nbeta E[L]` for two weights, by the trapezoid rule in `u = asinh(scale w)`."""
    scale = 1e3
    u = np.linspace(0, np.arcsinh(scale * 9 / localization**0.5), 1501)
    w, weight = np.sinh(u) / scale, np.cosh(u)
    weight[0] *= 0.5
    x, y = np.meshgrid(w, w, indexing="ij")
    loss = x ** (2 * powers[0]) * y ** (2 * powers[1])
    log_p = -nbeta * loss - localization / 2 * (x**2 + y**2)
    p = np.exp(log_p) * weight[:, None] * weight[None, :]
    return float(nbeta * (p * loss).sum() / p.sum())


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
    return Problem(
        name=f"tabular softmax {states}x3",
        policy=Table(logits),
        data=PolicyData(torch.arange(states).repeat(visits)),
        loss=PolicyKL(),
        nbeta=nbeta,
        localization=localization,
        exact=sum(_row_exact(row.numpy(), nbeta / states, localization) for row in logits),
        lambda_=float(states),
    )


def _row_exact(logits: np.ndarray, weight: float, localization: float) -> float:
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
