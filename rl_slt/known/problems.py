"""Problems with two truths: lambda, and the exact estimate at the settings in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

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
        policy: at w*.
        data: the states.
        loss: the loss.
        nbeta: inverse temperature times N.
        localization: gamma.
        exact: `nbeta (E[L] - L(w*))` at this nbeta, gamma and w*.
        lambda_: the learning coefficient, the limit of large nbeta and small gamma.
        exact_error: standard error of `exact` where it comes from exact sampling, else 0.
    """

    policy: nn.Module
    data: PolicyData
    loss: LossFunction
    nbeta: float
    localization: float
    exact: float
    lambda_: float
    exact_error: float = 0.0


class Weights(nn.Module):
    """One weight vector `[d]` as the output `[B, d]` on every state: a loss of weights alone."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(d))

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


class LinearNet(nn.Module):
    """A product of matrices `W_L ... W_1 x`, no biases."""

    def __init__(self, factors: list[Tensor]) -> None:
        super().__init__()
        self.factors = nn.ParameterList([nn.Parameter(f.clone()) for f in factors])

    def forward(self, states: Tensor) -> Tensor:
        """Outputs `[B, M]` of inputs `[B, N]`."""
        for factor in self.factors:
            states = states @ factor.T
        return states


class LowRankPolicy(nn.Module):
    """Logits `A[s] B`: a state's row `[H]` times a matrix `[H, actions]`."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.state_factor = nn.Parameter(first.T.contiguous())
        self.action_factor = nn.Parameter(second.T.contiguous())

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]` of state ids `[B]`."""
        return self.state_factor[states] @ self.action_factor


def quadratic(curvatures: tuple[float, ...], nbeta: float = 100.0) -> Problem:
    """The quadratic `L = 1/2 sum h_i w_i^2` of curvatures h around w* = 0.

    The posterior is Gaussian with precisions `a_i = nbeta h_i + gamma`, so the exact estimate is
    `1/2 sum nbeta h_i / a_i` and lambda is half the number of positive curvatures.
    """
    h, gamma = torch.tensor(curvatures), 1.0
    return Problem(
        policy=Weights(len(curvatures)),
        data=PolicyData(torch.zeros(8, 1)),  # states that say nothing
        loss=lambda policy, batch: 0.5 * (h * logits_of(policy(batch.states)).square()).sum(-1),
        nbeta=nbeta,
        localization=gamma,
        exact=sum(0.5 * nbeta * x / (nbeta * x + gamma) for x in curvatures),
        lambda_=0.5 * sum(x > 0 for x in curvatures),
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


def crossing(powers: tuple[int, int]) -> Problem:
    """The normal crossing `L = prod w_j^(2 k_j)` of two weights around w* = 0, with powers k.

    It is the local form of every singularity; lambda is `1 / (2 max k)` (Watanabe 2009).
    """
    k = torch.tensor(powers)
    return Problem(
        policy=Weights(len(powers)),
        data=PolicyData(torch.zeros(8, 1)),
        loss=lambda policy, batch: logits_of(policy(batch.states)).square().pow(k).prod(-1),
        nbeta=1000.0,
        localization=1.0,
        exact=crossing_exact(powers, 1000.0, 1.0),
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


def tabular(nbeta: float = 2000.0) -> Problem:
    """S = 12 states with A = 3 actions, each visited equally often; lambda is `S (A - 1) / 2`.

    The posterior is a product over states, each a quadrature over its two logit differences.
    """
    states, gamma = 12, 1.0
    logits = 0.5 * torch.randn(states, 3, generator=torch.Generator().manual_seed(0))
    return Problem(
        policy=Table(logits),
        data=PolicyData(torch.arange(states).repeat(40)),
        loss=PolicyKL(),
        nbeta=nbeta,
        localization=gamma,
        exact=sum(_row_exact(row.numpy(), nbeta / states, gamma) for row in logits),
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


def squared_error(policy: Policy, batch: PolicyData) -> Tensor:
    """Mean over outputs of the squared error to the policy's own outputs at w*, `[B]`."""
    assert batch.reference_logits is not None
    return (logits_of(policy(batch.states)) - batch.reference_logits).square().mean(-1)


def reduced_rank_lambda(inputs: int, hidden: int, outputs: int, rank: int) -> float:
    """Lambda at its smallest over all true parameters (Aoyagi & Watanabe 2005)."""
    n, h, m, r = inputs, hidden, outputs, rank
    if n + r <= m + h and m + r <= n + h and h + r <= m + n:
        odd = (n + m + h + r) % 2
        square = (h + r) ** 2 + m**2 + n**2
        return (2 * (h + r) * (m + n) + 2 * m * n - square + odd) / 8
    if m + h < n + r:
        return (h * m - h * r + n * r) / 2
    if n + h < m + r:
        return (h * n - h * r + m * r) / 2
    return m * n / 2


def deep_linear_lambda(widths: tuple[int, ...], rank: int) -> float:
    """Lambda at its smallest over all true parameters of a product of L matrices (Aoyagi 2024).

    Args:
        widths: H_0 to H_L.
        rank: of the true product.

    Raises:
        ValueError: no admissible set of layers exists (a width is below the rank).
    """
    surplus = sorted(h - rank for h in widths)
    if surplus[0] < 0:
        raise ValueError(f"rank {rank} is above the smallest width {min(widths)}")
    # The layers Sigma of the formula are the smallest ones: its l + 1 surplus widths.
    for size in range(2, len(surplus) + 1):
        chosen, rest = surplus[:size], surplus[size:]
        length, total = size - 1, sum(chosen)
        below = not rest or (chosen[-1] < rest[0] and total < length * rest[0])
        if below and total >= length * chosen[-1]:
            break
    else:
        raise ValueError(f"no admissible layers among surplus widths {surplus}")
    pairs = sum(a * b for a, b in combinations(chosen, 2))
    a = total - (math.ceil(total / length) - 1) * length
    value = (rank * (widths[0] + widths[-1]) - rank**2) / 2
    value += a * (length - a) / (4 * length)
    value -= length * (length - 1) / 4 * (total / length) ** 2
    return value + pairs / 2


def reduced_rank(
    sizes: tuple[int, int, int, int], exact: float, exact_error: float, localization: float = 1.0
) -> Problem:
    """Regression by a product of two matrices, at `nbeta = n / log n`.

    Args:
        sizes: inputs N, hidden units H, outputs M, and the true rank r.
        exact: the truth at these settings, by exact sampling.
        exact_error: its standard error.
        localization: gamma.
    """
    n, (inputs, hidden, outputs, rank) = 2048, sizes
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(n, inputs, generator=generator)
    return Problem(
        policy=LinearNet(_padded_factors(inputs, hidden, outputs, rank, generator)),
        data=PolicyData(states),
        loss=squared_error,
        nbeta=n / float(torch.log(torch.tensor(float(n)))),
        localization=localization,
        exact=exact,
        lambda_=reduced_rank_lambda(*sizes),
        exact_error=exact_error,
    )


def deep_linear(widths: tuple[int, ...], rank: int, exact: float, exact_error: float) -> Problem:
    """Regression by a product of several matrices, surplus units zero everywhere."""
    n, generator, factors = 2048, torch.Generator().manual_seed(0), []
    for inputs, outputs in pairwise(widths):
        factor = torch.zeros(outputs, inputs)
        factor[:rank, :rank] = torch.randn(rank, rank, generator=generator)
        factors.append(factor)
    return Problem(
        policy=LinearNet(factors),
        data=PolicyData(torch.randn(n, widths[0], generator=generator)),
        loss=squared_error,
        nbeta=n / math.log(n),
        localization=1.0,
        exact=exact,
        lambda_=deep_linear_lambda(widths, rank),
        exact_error=exact_error,
    )


def low_rank(sizes: tuple[int, int, int, int], exact: float, exact_error: float) -> Problem:
    """A softmax policy of S states, H hidden units, A actions and rank r, all states equally often.

    The shift common to all logits of a state changes nothing, so lambda is the reduced-rank value
    with one output fewer: sizes (S, H, A - 1, r).
    """
    states, hidden, actions, rank = sizes
    generator = torch.Generator().manual_seed(0)
    first, second = _padded_factors(states, hidden, actions, rank, generator)
    n = 64 * states
    return Problem(
        policy=LowRankPolicy(0.7 * first, 0.7 * second),
        data=PolicyData(torch.arange(states).repeat(64)),
        loss=PolicyKL(),
        nbeta=n / math.log(n),
        localization=1.0,
        exact=exact,
        lambda_=reduced_rank_lambda(states, hidden, actions - 1, rank),
        exact_error=exact_error,
    )


def _padded_factors(
    inputs: int, hidden: int, outputs: int, rank: int, generator: torch.Generator
) -> list[Tensor]:
    """Gaussian factors of rank r, surplus hidden units zero in both: where lambda is smallest."""
    first, second = torch.zeros(hidden, inputs), torch.zeros(outputs, hidden)
    first[:rank] = torch.randn(rank, inputs, generator=generator)
    second[:, :rank] = torch.randn(outputs, rank, generator=generator)
    return [first, second]


# Values with an error were found by benchmarks/llc_truths.py: exact sampling, in code of its own.
# They belong to the weights that the seeds of these problems draw.
PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": lambda: quadratic((4.0, 2.0, 1.0, 0.5, 0.0)),
    "crossing-1-1": lambda: crossing((1, 1)),
    "crossing-1-2": lambda: crossing((1, 2)),
    "tabular": tabular,
    "tabular-short": lambda: tabular(nbeta=300.0),
    "reduced-rank": lambda: reduced_rank((10, 6, 10, 4), exact=36.93, exact_error=0.06),
    "reduced-rank-tight": lambda: reduced_rank(
        (10, 6, 10, 4), exact=26.60, exact_error=0.05, localization=100.0
    ),
    "reduced-rank-zero": lambda: reduced_rank((5, 3, 5, 0), exact=5.99, exact_error=0.02),
    "deep-linear": lambda: deep_linear((4, 4, 4, 4), 2, exact=5.96, exact_error=0.02),
    "low-rank": lambda: low_rank((12, 4, 6, 2), exact=13.48, exact_error=0.03),
}
QUICK = ("quadratic", "crossing-1-1", "tabular", "low-rank")
