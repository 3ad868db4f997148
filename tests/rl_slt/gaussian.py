"""A Gaussian target in closed form, for samplers without any policy."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from rl_slt.posterior.target import Evaluation
from rl_slt.samplers.base import Evaluate, Sampler


def gaussian(precision: Tensor, noise: float = 0.0, seed: int = 99) -> Evaluate:
    """`U = 1/2 sum a w^2`; the gradient may carry noise of the given standard deviation."""
    generator = Generator().manual_seed(seed)

    def evaluate(w: Tensor) -> Evaluation:
        grad = precision * w
        energy = 0.5 * (grad * w).sum(1).double()
        if noise:
            grad = grad + noise * torch.empty_like(w).normal_(generator=generator)
        zero = torch.zeros(len(w))
        return Evaluation(energy.float(), zero, energy, grad, zero, (w * grad).sum(1))

    return evaluate


def variance(
    sampler: Sampler, evaluate: Evaluate, dim: int, steps: int, step: float, skip: int
) -> Tensor:
    """Mean square of each coordinate `[dim]` over four chains and the steps after `skip`."""
    generators = [Generator().manual_seed(c) for c in range(4)]
    state = sampler.init(torch.zeros(4, dim), evaluate, generators)
    freeze = getattr(sampler, "freeze", lambda s: s)
    total = torch.zeros(dim)
    for t in range(steps):
        if t == skip // 2:
            state = freeze(state)
        state, _ = sampler.step(generators, state, evaluate, step)
        if t >= skip:
            total += state.position.square().mean(0)
    return total / (steps - skip)
