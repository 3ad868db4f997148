"""Losses: formulas by hand, identities between them, and one protocol for all."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, nn

from rl_slt import InputError, PolicyData, PolicyKL, PolicyNLL, Regret, Surrogate, Value
from rl_slt.losses import LOSSES
from rl_slt.losses.base import as_loss, draw_actions
from tests.rl_slt.levels import levels_of
from tests.rl_slt.small_policy import TwoHeads, data


class Fixed(nn.Module):
    """The same logits on every state."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(states), -1)


def test_kl_by_hand() -> None:
    p, q = Fixed(math.log(3), 0.0), Fixed(0.0, 0.0)
    batch = PolicyKL().prepare(p, PolicyData(torch.zeros(2, 1)), Generator())
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert torch.allclose(PolicyKL()(q, batch), torch.full((2,), expected))
    assert torch.equal(PolicyKL()(p, batch), torch.zeros(2))


def test_kl_to_a_named_reference() -> None:
    p, q = Fixed(0.0, 0.0), Fixed(math.log(3), 0.0)
    loss = PolicyKL(reference=q)
    batch = loss.prepare(p, PolicyData(torch.zeros(2, 1)), Generator())
    assert not loss.zero_at_center
    assert torch.allclose(loss(q, batch), torch.zeros(2), atol=1e-7)
    assert bool((loss(p, batch) > 0.1).all())


def test_nll_is_kl_plus_entropy_on_average() -> None:
    generator, policy, other = Generator().manual_seed(0), TwoHeads().eval(), TwoHeads(5).eval()
    states = PolicyData(torch.randn(1, 4, generator=generator).repeat(40_000, 1))
    nll = PolicyNLL()
    batch = nll.refresh(nll.prepare(policy, states, generator), generator, policy)
    kl = PolicyKL()(other, batch).mean()
    log_p = batch.reference_logits[0].log_softmax(-1)  # type: ignore[index]
    entropy = -(log_p.exp() * log_p).sum()
    assert abs(nll(other, batch).mean() - kl - entropy) < 0.02
    again = nll.refresh(batch, generator, policy)
    assert not torch.equal(again.actions, batch.actions)  # type: ignore[arg-type]
    kept = PolicyNLL(redraw=False)
    assert kept.refresh(batch, generator, policy) is batch


def test_drawn_actions_follow_the_policy() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3]).log().repeat(60_000, 1)
    counts = torch.bincount(draw_actions(logits, Generator().manual_seed(0)), minlength=3)
    assert torch.allclose(counts / 60_000, torch.tensor([0.2, 0.5, 0.3]), atol=0.01)


def test_regret_by_hand() -> None:
    """Two episodes; the weight of a reward is the product of ratios up to it."""
    policy = Fixed(0.0, math.log(3))  # probabilities 1/4, 3/4
    batch = PolicyData(
        states=torch.zeros(3, 1),
        actions=torch.tensor([1, 0, 1]),
        log_probs=torch.full((3,), math.log(0.5)),
        rewards=torch.tensor([1.0, 2.0, 4.0]),
        episode=torch.tensor([7, 7, 3]),
    )
    first = 1.5 * 1 + 0.9 * (1.5 * 0.5) * 2
    assert torch.allclose(Regret(0.9)(policy, batch), -torch.tensor([first, 1.5 * 4]))
    clipped = Regret(0.9, clip=1.0)
    first = 1.0 * 1 + 0.9 * 0.75 * 2
    assert torch.allclose(clipped(policy, batch), -torch.tensor([first, 4.0]))
    assert clipped.report(policy, batch)["clipped"] == pytest.approx(2 / 3)
    normal = Regret(0.9, self_normalized=True)
    mean = (0.75 + 1.5) / 2  # at the second step; the ended episode keeps its weight
    first = 1.0 + 0.9 * 0.75 / mean * 2
    assert torch.allclose(normal(policy, batch), -torch.tensor([first, 4.0]))
    ess = (0.75 + 1.5) ** 2 / (0.75**2 + 1.5**2) / 2
    assert normal.report(policy, batch)["weight_ess"] == pytest.approx(ess)


def test_surrogate_by_hand() -> None:
    policy = Fixed(0.0, math.log(3))
    batch = PolicyData(
        states=torch.zeros(4, 1),
        actions=torch.tensor([1, 1, 0, 0]),
        log_probs=torch.full((4,), math.log(0.5)),
        advantages=torch.tensor([2.0, -2.0, 2.0, -2.0]),
    )
    plain, clipped = Surrogate()(policy, batch), Surrogate(clip=0.2)(policy, batch)
    assert torch.allclose(plain, torch.tensor([-3.0, 3.0, -1.0, 1.0]))
    assert torch.allclose(clipped, torch.tensor([-2.4, 3.0, -1.0, 1.6]))


def test_value_is_the_likelihood_of_returns_with_noise_as_at_the_checkpoint() -> None:
    policy, generator = TwoHeads().eval(), Generator()
    batch = Value().prepare(policy, data(), generator)
    residual = policy(batch.states)[1] - batch.returns
    expected = residual**2 / (2 * residual.square().mean())
    assert torch.allclose(Value()(policy, batch), expected, atol=1e-6)
    known = Value().prepare(
        policy, data().with_fields(returns_sd=torch.full((120,), 3.0)), generator
    )
    assert torch.allclose(Value()(policy, known), residual**2 / 18)
    exact = data().with_fields(returns=policy(data().states)[1].detach())
    with pytest.raises(InputError, match=r"returns_sd=0\.0: must be above 0"):
        Value().prepare(policy, exact, generator)


def test_value_and_surrogate_do_not_depend_on_the_unit_of_reward() -> None:
    """Rewards in tenths: returns, advantages and values are ten times as large."""
    plain, tenths = TwoHeads().eval(), TwoHeads().eval()
    with torch.no_grad():
        for p in tenths.value_head.parameters():
            p.mul_(10)
    records, other, generator = data(), TwoHeads(3).eval(), Generator()
    assert records.returns is not None and records.advantages is not None
    large = records.with_fields(returns=10 * records.returns, advantages=10 * records.advantages)
    one, two = (Value().prepare(*of, generator) for of in ((plain, records), (tenths, large)))
    assert torch.allclose(Value()(plain, one), Value()(tenths, two), rtol=1e-4)
    rows = Value().score_rows(plain, one)
    assert torch.allclose(rows, Value().score_rows(tenths, two), rtol=1e-4)
    loss = Surrogate(0.2)
    one, two = (loss.prepare(plain, each, generator) for each in (records, large))
    assert torch.allclose(loss(other, one), loss(other, two), rtol=1e-4)
    assert one.advantages is not None and records.advantages is not None
    assert float(one.advantages.mean()) == pytest.approx(0, abs=1e-6)
    assert float(one.advantages.square().mean()) == pytest.approx(1)
    with pytest.raises(InputError, match="standard deviation of advantages"):
        loss.prepare(plain, records.with_fields(advantages=torch.full((120,), 0.3)), generator)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_protocol(name: str) -> None:
    """One per sample, differentiable, unchanged by being asked twice, and needs are named."""
    loss, generator = LOSSES[name](), Generator().manual_seed(0)
    policy: nn.Module = TwoHeads().eval()
    records, size = data(), {"state": 120, "level": 3, "episode": 30}[loss.sample_unit]
    if loss.sample_unit == "level" or loss.plays:
        loss, policy, records = levels_of(loss)
        size = len(records)
    batch = loss.refresh(loss.prepare(policy, records, generator), generator, policy)
    value = loss(policy, batch)
    assert value.shape == (size,) and not float(value.detach().min()) < loss.minimum - 1e-6
    twice = batch.with_fields(weights=torch.full((len(batch),), 2.0))
    torch.testing.assert_close(loss.weighted(policy, twice), 2 * value)
    rows = loss.score_rows(policy, batch)
    assert rows is not None and len(rows) == size
    torch.testing.assert_close(loss.weighted_rows(policy, twice), 2**0.5 * rows)
    assert value.requires_grad and torch.equal(value, loss(policy, batch))
    assert loss.name == name
    bare = PolicyData(torch.zeros(6, 4))
    if name in ("kl", "nll"):
        assert loss.prepare(policy, bare, generator).reference_logits is not None
    else:
        wanted = "number of samples=6" if loss.population else f"the {name} loss needs"
        with pytest.raises(InputError, match=wanted):
            loss.prepare(policy, bare, generator)


@pytest.mark.parametrize("name", ["kl", "nll", "value"])
def test_score_gives_the_gauss_newton_matrix(name: str) -> None:
    """E[g g'] of score gradients is the Hessian of the loss where its residual vanishes."""
    generator, policy = Generator().manual_seed(0), TwoHeads().eval()
    states = torch.randn(1, 4, generator=generator).repeat(4000, 1)
    noise = torch.tensor([0.5, -0.5]).repeat(2000)
    batch = PolicyData(states, returns=policy(states)[1].detach() + noise)
    loss = LOSSES[name]()
    batch = loss.refresh(loss.prepare(policy, batch, generator), generator, policy)
    head = policy.value_head.bias if name == "value" else policy.policy_head.bias
    found = loss.score_rows(policy, batch.take(slice(0, 800)))
    assert found is not None
    signs = torch.empty_like(found).bernoulli_(generator=generator) * 2 - 1
    score = (found * signs).sum(1)
    rows = torch.stack([torch.autograd.grad(s, head, retain_graph=True)[0] for s in score])
    if name == "value":
        hessian = torch.full((1, 1), 4.0)  # 1 / sigma^2
    else:
        p = policy(states[:1])[0].softmax(-1)[0]
        hessian = torch.diag(p) - p[:, None] * p
    assert torch.allclose(rows.T @ rows / len(rows), hessian, atol=0.05)


def test_rows_of_regret_are_the_weights_gradient_times_the_reward() -> None:
    """Where an episode has one reward: `E[g g']` is `c_T g_T g_T'` of the weight of that reward."""
    policy, batch = TwoHeads().eval(), data(episodes=5)
    last = torch.arange(20) % 4 == 2
    assert batch.rewards is not None
    batch = batch.with_fields(rewards=torch.where(last, batch.rewards, 0.0))
    loss = Regret(0.9)
    batch = loss.prepare(policy, batch, Generator())
    head = policy.policy_head.weight
    for e, (row, value) in enumerate(
        zip(loss.score_rows(policy, batch)[:, 0], loss(policy, batch), strict=True)
    ):
        (own,) = torch.autograd.grad(row, head, retain_graph=True)
        (slope,) = torch.autograd.grad(value, head, retain_graph=True)
        size = 0.9**2 * batch.rewards[4 * e + 2]  # type: ignore[index]
        assert torch.allclose(own * size.sqrt(), -slope, atol=1e-5)


def test_losses_say_what_they_need_and_take() -> None:
    """The pipeline and the command line read these off the class, nothing by name."""
    assert {n: loss.needs for n, loss in LOSSES.items() if loss.needs} == {
        "regret": ("actions", "rewards", "episode"),
        "surrogate": ("actions", "advantages"),
        "value": ("returns",),
    }
    assert Regret.option_forms() == {"clip": float, "self-normalized": bool}
    assert Surrogate.option_forms() == {"clip": float} and PolicyKL.option_forms() == {}
    assert {n for n, loss in LOSSES.items() if loss.has_reference} == {"kl", "nll"}


def test_a_loss_of_ones_own_may_be_per_episode() -> None:
    def total(policy: nn.Module, batch: PolicyData) -> torch.Tensor:
        assert batch.episode is not None
        ids = batch.episode.unique_consecutive(return_inverse=True)[1]
        losses = policy(batch.states)[0].square().sum(-1)
        return losses.new_zeros(int(ids.max()) + 1).index_add(0, ids, losses)

    own: Any = total
    own.sample_unit = "episode"
    assert as_loss(own).sample_unit == "episode"
    own.unit = "episode"
    with pytest.warns(DeprecationWarning, match="unit of a loss is deprecated"):
        assert as_loss(own).sample_unit == "episode"
