"""A small policy with a value head, and data of every kind for it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from rl_slt import PolicyData


class TwoHeads(nn.Module):
    """Logits `[B, 3]` and value `[B]` of states `[B, 4]`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = Generator().manual_seed(seed)
        self.body, self.policy_head = nn.Linear(4, 5), nn.Linear(5, 3)
        self.value_head = nn.Linear(5, 1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))
        self.dropout = nn.Dropout(0.5)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.dropout(torch.tanh(self.body(states)))
        return self.policy_head(hidden), self.value_head(hidden).squeeze(-1)


def data(episodes: int = 30, length: int = 4) -> PolicyData:
    """Records of episodes of equal length, with every field that a loss may need."""
    n, g = episodes * length, Generator().manual_seed(1)
    return PolicyData(
        states=torch.randn(n, 4, generator=g),
        actions=torch.randint(3, (n,), generator=g),
        advantages=torch.randn(n, generator=g),
        returns=torch.randn(n, generator=g),
        rewards=torch.rand(n, generator=g),
        episode=torch.arange(episodes).repeat_interleave(length),
    )
