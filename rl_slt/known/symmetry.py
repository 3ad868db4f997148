"""Changes of weights that leave a ReLU policy as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class ReluPolicy(nn.Module):
    """A policy with one hidden ReLU layer."""

    def __init__(self, inputs: int, hidden: int, actions: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) / shape[-1] ** 0.5)

        self.first, self.bias = draw(hidden, inputs), draw(hidden)
        self.second = draw(actions, hidden)

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        return torch.relu(states @ self.first.T + self.bias) @ self.second.T


def permuted(policy: ReluPolicy, order: Tensor) -> ReluPolicy:
    """The same policy with its hidden units in another order: the LLC is exactly the same."""
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        for name in ("first", "bias"):
            getattr(twin, name).copy_(getattr(policy, name)[order])
        twin.second.copy_(policy.second[:, order])
    return twin


def rescaled(policy: ReluPolicy, factor: float) -> ReluPolicy:
    """Hidden units scaled in and scaled out again: the same LLC where gamma is small."""
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        twin.first.mul_(factor)
        twin.bias.mul_(factor)
        twin.second.div_(factor)
    return twin
