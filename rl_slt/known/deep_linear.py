"""Deep linear networks (Aoyagi 2024)."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import torch

from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problem import Problem, squared_error
from rl_slt.known.reduced_rank import LinearNet


def deep_linear_limit(widths: tuple[int, ...], rank: int) -> float:
    """Lambda at its smallest over all true parameters of a product of L matrices.

    Args:
        widths: H_0 to H_L.
        rank: of the true product.

    Raises:
        ValueError: no admissible set of layers exists (a width is below the rank).
    """
    surplus = [h - rank for h in widths]
    if min(surplus) < 0:
        raise ValueError(f"rank {rank} is above the smallest width {min(widths)}")
    chosen = _smallest(surplus)
    length, total = len(chosen) - 1, sum(chosen)
    pairs = sum(a * b for a, b in combinations(chosen, 2))
    m = math.ceil(total / length)
    a = total - (m - 1) * length
    value = (rank * (widths[0] + widths[-1]) - rank**2) / 2
    value += a * (length - a) / (4 * length)
    value -= length * (length - 1) / 4 * (total / length) ** 2
    return value + pairs / 2


def _smallest(surplus: list[int]) -> list[int]:
    """The layers Sigma of the formula, which are the smallest ones: its l + 1 surplus widths."""
    ordered = sorted(surplus)
    for size in range(2, len(ordered) + 1):
        inside, rest = ordered[:size], ordered[size:]
        length, total = size - 1, sum(inside)
        below = not rest or (inside[-1] < rest[0] and total < length * rest[0])
        if below and total >= length * inside[-1]:
            return inside
    raise ValueError(f"no admissible layers among surplus widths {surplus}")


def deep_linear(
    widths: tuple[int, ...],
    rank: int,
    exact: float,
    exact_error: float,
    n: int = 2048,
    localization: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Regression by a product of matrices, surplus units zero everywhere."""
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
        exact_error=exact_error,
        limit=deep_linear_limit(widths, rank),
        source="exact sampling",
    )
