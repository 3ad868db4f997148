"""Addition modulo a prime, learned from a part of all pairs (Panickssery & Vaintrob 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_slt import PolicyData


class AdditionNet(nn.Module):
    """Logits `V gelu(A e(a) + B e(b) + c)` of a sum: each number embedded, one hidden layer.

    Args:
        p: the modulus: numbers are 0 to p - 1.
        embedding: width of e.
        hidden: width of the layer.
    """

    def __init__(self, p: int, embedding: int = 12, hidden: int = 48) -> None:
        super().__init__()
        self.embedding = nn.Embedding(p, embedding)
        self.left = nn.Linear(embedding, hidden)
        self.right = nn.Linear(embedding, hidden)
        self.out = nn.Linear(hidden, p, bias=False)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits `[B, p]` of pairs `[B, 2]`, integers."""
        one, other = self.embedding(pairs).unbind(-2)
        return self.out(nn.functional.gelu(self.left(one) + self.right(other)))


def addition_data(p: int, share: float = 0.4, seed: int = 0) -> tuple[PolicyData, PolicyData]:
    """All ordered pairs with their sums modulo p, divided at random.

    Args:
        p: the modulus.
        share: of the pairs that are for training.
        seed: of the division.

    Returns:
        The pairs for training and the others: `states` `[N, 2]`, `targets` `[N]`.
    """
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    data = PolicyData(pairs, targets=pairs.sum(1) % p)
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    size = round(share * len(pairs))
    return data.take(order[:size]), data.take(order[size:])
