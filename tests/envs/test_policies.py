"""Policies as plain modules: log-probabilities, divergence, and sampling from logits."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import envs

LOGITS = torch.tensor([[0.0, 1.0, -1.0], [3.0, 0.0, 0.0]])


class WithValue(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x.sum(dim=1)


@pytest.mark.parametrize("policy", [nn.Identity(), WithValue()])
def test_log_probabilities_with_and_without_a_value(policy: nn.Module) -> None:
    log_p = envs.log_probs(policy, LOGITS)
    assert log_p.dtype == torch.float64
    assert torch.allclose(log_p.exp().sum(dim=1), torch.ones(2, dtype=torch.float64))
    assert not envs.log_probs(policy, LOGITS.requires_grad_()).requires_grad
    assert envs.log_probs(policy, LOGITS, grad=True).requires_grad


def test_actions_that_do_the_same_are_merged() -> None:
    log_p = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    merged = envs.merge_actions(log_p, [[0], [3, 1], [2]])
    assert torch.allclose(merged.exp(), torch.tensor([[0.1, 0.6, 0.3]]))
    own = envs.log_probs(nn.Identity(), log_p, [[0], [3, 1], [2]])
    assert torch.allclose(own, merged.double())


def test_divergence_in_nats() -> None:
    p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.5, 0.25]])
    assert envs.kl(p.log(), q.log()).item() == pytest.approx(0.5 * np.log(2))
    assert envs.kl(p.log(), p.log()).item() == 0  # 0 log 0 = 0
    assert envs.kl(q.log(), p.log()).item() == np.inf


@pytest.mark.parametrize("kind", ["numpy", "torch", "uniform"])
def test_sampled_shares_are_the_probabilities(kind: str) -> None:
    n = 30_000
    logits, rng = LOGITS[:1].detach().expand(n, 3), np.random.default_rng(0)
    sources: dict[str, Any] = {
        "numpy": rng, "torch": torch.Generator().manual_seed(0), "uniform": rng.random(n),
    }  # fmt: skip
    actions = envs.sample_actions(logits, sources[kind])
    assert actions.shape == (n,) and actions.dtype == np.int64
    shares = np.bincount(actions, minlength=3) / n
    p = LOGITS[0].detach().softmax(-1).numpy()
    assert np.abs(shares - p).max() < 4 * np.sqrt(0.25 / n)
    assert envs.sample_actions(LOGITS, sources[kind], "greedy").tolist() == [1, 0]
