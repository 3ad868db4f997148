"""Problems whose outputs are a product of matrices: regression and a softmax policy."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problems import Problem
from rl_slt.losses.base import Policy, logits_of
from rl_slt.losses.kl import PolicyKL


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
    sizes: tuple[int, int, int, int],
    exact: float,
    exact_error: float,
    n: int = 2048,
    localization: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Regression by a product of two matrices, at `nbeta = n / log n`.

    Args:
        sizes: inputs N, hidden units H, outputs M, and the true rank r.
        exact: the truth at these settings, with its error.
        exact_error: of `exact`.
        n: standard-normal inputs.
        localization: gamma.
        seed: of inputs and weights.
    """
    inputs, hidden, outputs, rank = sizes
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(n, inputs, generator=generator)
    return Problem(
        name=f"reduced rank {sizes}",
        policy=LinearNet(_padded_factors(inputs, hidden, outputs, rank, generator)),
        data=PolicyData(states),
        loss=squared_error,
        nbeta=n / float(torch.log(torch.tensor(float(n)))),
        localization=localization,
        exact=exact,
        lambda_=reduced_rank_lambda(*sizes),
        exact_error=exact_error,
        source="exact sampling",
    )


def deep_linear(
    widths: tuple[int, ...],
    rank: int,
    exact: float,
    exact_error: float,
    n: int = 2048,
    localization: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Regression by a product of several matrices, surplus units zero everywhere."""
    generator = torch.Generator().manual_seed(seed)
    factors = []
    for inputs, outputs in pairwise(widths):
        factor = torch.zeros(outputs, inputs)
        factor[:rank, :rank] = torch.randn(rank, rank, generator=generator)
        factors.append(factor)
    return Problem(
        name=f"deep linear {widths} rank {rank}",
        policy=LinearNet(factors),
        data=PolicyData(torch.randn(n, widths[0], generator=generator)),
        loss=squared_error,
        nbeta=n / math.log(n),
        localization=localization,
        exact=exact,
        lambda_=deep_linear_lambda(widths, rank),
        exact_error=exact_error,
        source="exact sampling",
    )


def low_rank_policy(
    sizes: tuple[int, int, int, int], visits: int = 64, scale: float = 0.7, seed: int = 0
) -> tuple[LowRankPolicy, PolicyData]:
    """A policy of S states, H hidden, A actions and rank r, and each state visited equally often.

    The shift common to all logits of a state changes nothing, so lambda is the reduced-rank value
    with one output fewer: sizes (S, H, A - 1, r).
    """
    states, hidden, actions, rank = sizes
    generator = torch.Generator().manual_seed(seed)
    first, second = _padded_factors(states, hidden, actions, rank, generator)
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
        lambda_=reduced_rank_lambda(states, hidden, actions - 1, rank),
        exact_error=exact_error,
        source="exact sampling",
    )


def _padded_factors(
    inputs: int, hidden: int, outputs: int, rank: int, generator: torch.Generator
) -> list[Tensor]:
    """Gaussian factors of rank r, surplus hidden units zero in both: where lambda is smallest."""
    first, second = torch.zeros(hidden, inputs), torch.zeros(outputs, hidden)
    first[:rank] = torch.randn(rank, inputs, generator=generator)
    second[:, :rank] = torch.randn(outputs, rank, generator=generator)
    return [first, second]
