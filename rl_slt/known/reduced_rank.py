"""Reduced-rank regression: a product of two matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem, squared_error


def reduced_rank_limit(inputs: int, hidden: int, outputs: int, rank: int) -> float:
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


def padded_factors(
    inputs: int, hidden: int, outputs: int, rank: int, generator: torch.Generator
) -> list[Tensor]:
    """Gaussian factors of rank r, surplus hidden units zero in both: where lambda is smallest."""
    first, second = torch.zeros(hidden, inputs), torch.zeros(outputs, hidden)
    first[:rank] = torch.randn(rank, inputs, generator=generator)
    second[:, :rank] = torch.randn(outputs, rank, generator=generator)
    return [first, second]


def reduced_rank(
    sizes: tuple[int, int, int, int],
    exact: float,
    exact_error: float,
    n: int = 2048,
    nbeta: float | None = None,
    localization: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Regression `[N] -> [H] -> [M]` of true rank r on n standard-normal inputs."""
    inputs, hidden, outputs, rank = sizes
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(n, inputs, generator=generator)
    factors = padded_factors(inputs, hidden, outputs, rank, generator)
    return Problem(
        name=f"reduced rank {sizes}",
        policy=LinearNet(factors),
        data=PolicyData(states),
        loss=squared_error,
        nbeta=n / float(torch.log(torch.tensor(float(n)))) if nbeta is None else nbeta,
        localization=localization,
        exact=exact,
        exact_error=exact_error,
        limit=reduced_rank_limit(*sizes),
        source="exact sampling",
    )
