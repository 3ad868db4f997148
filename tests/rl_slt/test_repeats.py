"""Samples that repeat are computed once and count for all of their kind."""

import pytest
import torch
from torch import nn

from rl_slt import PolicyData, PolicyKL, PolicyNLL
from rl_slt.data.samples import distinct
from rl_slt.losses.base import Loss
from rl_slt.posterior.build import build_target, generator_for
from rl_slt.posterior.target import Target


def test_one_row_of_each_kind_and_its_share() -> None:
    a = torch.tensor([5, 3, 5, 5, 3, 5])
    found = distinct([a, a[:, None].expand(6, 2).float()])
    assert found is not None
    assert found[0].tolist() == [0, 1]
    assert found[1].tolist() == pytest.approx([4 / 6, 2 / 6])


def test_rows_are_of_one_kind_where_all_fields_are() -> None:
    a, b = torch.tensor([1, 1, 1, 1, 2, 2]), torch.tensor([0, 0, 7, 7, 7, 7])
    found = distinct([a, b])
    assert found is not None and found[0].tolist() == [0, 2, 4]


def test_nothing_is_gained_where_most_rows_differ_or_they_are_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert distinct([torch.tensor([1, 2, 3, 1])]) is None
    same = torch.ones(4, 8)
    assert distinct([same]) is not None
    monkeypatch.setattr("rl_slt.data.samples.MOST_BYTES", 100)
    assert distinct([same]) is None


def visited(kinds: int, n: int) -> tuple[nn.Module, PolicyData]:
    """A policy, and states that differ in how often they were visited, with records of each."""
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    which = torch.randint(kinds, (n,)).square() // kinds
    data = PolicyData(torch.randn(kinds, 3)[which], episode=torch.arange(n), rewards=torch.randn(n))
    return policy, data


def loss_and_gradient(target: Target, chains: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    z = 0.3 * torch.randn(chains, target.dim, generator=generator_for(1, 0))
    generators = [generator_for(0, c) for c in range(chains)]
    found = target.evaluate(z, [None] * chains, generators)
    return found.loss, found.grad


@pytest.mark.parametrize("kinds", [5, 40])
def test_gradients_over_all_data_are_the_same_from_fewer_samples(
    kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, data = visited(kinds, 300)
    differ = len(torch.unique(data.states, dim=0))
    target = build_target(policy, data, PolicyKL(), 10.0, 1.0, None, 0)
    once = loss_and_gradient(target)
    assert target.grads == 3 * differ < 3 * 150  # what the loss does not read is not compared
    monkeypatch.setattr("rl_slt.posterior.target.BATCHED_CHUNK", 7)
    parts = build_target(policy, data, PolicyKL(), 10.0, 1.0, None, 0)
    in_parts = loss_and_gradient(parts)
    assert parts.grads == 3 * differ
    monkeypatch.setattr("rl_slt.posterior.target.distinct", lambda fields: None)
    plain = build_target(policy, data, PolicyKL(), 10.0, 1.0, None, 0)
    wanted = loss_and_gradient(plain)
    assert plain.grads == 900
    for found in (once, in_parts):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


class Tilted(Loss):
    """Not zero at w*, and different from state to state."""

    def __call__(self, policy: object, batch: PolicyData) -> torch.Tensor:
        return policy(batch.states).logsumexp(-1)  # type: ignore[operator]


def test_the_loss_at_w_star_is_weighted_too() -> None:
    policy, data = visited(5, 300)
    target = build_target(policy, data, Tilted(), 10.0, 1.0, None, 0)
    generators = [generator_for(0, c) for c in range(2)]
    found = target.evaluate(torch.zeros(2, target.dim), [None] * 2, generators)
    assert target.grads < 100
    torch.testing.assert_close(found.loss_at_center, found.loss)
    torch.testing.assert_close(found.loss_at_center[0], target.center_losses.mean())


def test_losses_that_redraw_see_every_sample() -> None:
    policy, data = visited(5, 300)
    target = build_target(policy, data, PolicyNLL(redraw=True), 10.0, 1.0, None, 0)
    loss_and_gradient(target)
    assert target.grads == 900
