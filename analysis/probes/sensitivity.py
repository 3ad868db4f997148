"""How far two action distributions differ, and how likely they move a given way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_ACTIONS = 15


def horizontal(actions: NDArray[np.int64]) -> NDArray[np.int64]:
    """-1 left, 0 none, 1 right, of procgen actions; 9 to 14 are without effect in CoinRun."""
    return np.where(actions < 9, actions // 3 - 1, 0)


def log_softmax(logits: Floats) -> Floats:
    """Log probabilities `[B, A]`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def kl(log_p: Floats, log_q: Floats) -> Floats:
    """`KL(p || q) = sum_a p(a) (log p(a) - log q(a))` in nats, `[B]`."""
    return np.asarray((np.exp(log_p) * (log_p - log_q)).sum(axis=1))


def total_variation(log_p: Floats, log_q: Floats) -> Floats:
    """`1/2 sum_a |p(a) - q(a)|`, `[B]`, 0 to 1."""
    return np.asarray(0.5 * np.abs(np.exp(log_p) - np.exp(log_q)).sum(axis=1))


def drift(log_p: Floats) -> Floats:
    """`P(move right) - P(move left)`, `[B]`, -1 to 1."""
    return np.asarray(np.exp(log_p) @ horizontal(np.arange(log_p.shape[1])))
