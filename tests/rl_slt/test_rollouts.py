"""Regret by fresh rollouts, against what is known exactly."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from rl_slt import (
    BAOAB,
    ExactRegret,
    InputError,
    PolicyData,
    RolloutRegret,
    TabularSimulator,
    estimate_llc,
)
from rl_slt.losses.base import Policy
from rl_slt.posterior.build import build_target
from tests.rl_slt.levels import Net, cells, corridor

EPISODES = 3000


def simulator(limit: int = 60) -> TabularSimulator:
    return TabularSimulator(corridor(), cells().states, limit)


def episodes(n: int) -> PolicyData:
    """As many of each of the three levels; what a policy sees of a state, for its shape."""
    level = torch.arange(n) % 3
    return PolicyData(cells().states[level, 0], level=level, episode=torch.arange(n))


class WithValue(nn.Module):
    """A policy with the same features' sum as its value, wrong as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(states), states.sum(-1) + states[..., 0]


def gradient(policy: nn.Module, losses: Tensor) -> Tensor:
    params = [p for p in policy.parameters() if p.requires_grad]
    grads = torch.autograd.grad(losses, params, retain_graph=True)
    return torch.cat([g.reshape(-1) for g in grads])


@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize("policy", [Net(), WithValue()], ids=["logits", "value"])
def test_value_and_gradient_are_the_exact_ones_in_the_mean(
    temperature: float, policy: nn.Module
) -> None:
    """Soft and hard, with a baseline that is wrong and without one, on levels that differ."""
    mdp = corridor()
    loss = RolloutRegret(simulator(), mdp.discount, temperature)
    data = loss.prepare(policy, episodes(EPISODES), Generator().manual_seed(0))
    net = policy.net if isinstance(policy, WithValue) else policy
    exact = -mdp.returns(net(cells().states), temperature=temperature)
    wanted = gradient(policy, exact[torch.arange(EPISODES) % 3].mean())
    found, values = [], []
    for seed in range(8):
        batch = loss.refresh(data, Generator().manual_seed(seed), policy)
        losses = loss(policy, batch)
        assert losses.shape == (EPISODES,)
        values.append(losses.detach())
        found.append(gradient(policy, losses.mean()))
    each = torch.stack(values).view(-1)
    wanted_value = float(exact.detach()[torch.arange(EPISODES) % 3].mean())
    error = float(each.std()) / len(each) ** 0.5
    assert float(each.mean()) == pytest.approx(wanted_value, abs=4 * error)
    grads = torch.stack(found)
    z = (grads.mean(0) - wanted) / (grads.std(0) / len(grads) ** 0.5).clamp(min=1e-12)
    assert float((z.square()).mean()) < 3.0  # t of 7 degrees of freedom: 1.4
    assert float((grads.mean(0) - wanted).norm()) < 0.1 * float(wanted.norm())


def test_a_baseline_takes_noise_away() -> None:
    """What the others of the batch got beyond the value, at the same step."""
    policy, loss = Net(), RolloutRegret(simulator(), 0.8)
    data = loss.prepare(policy, episodes(64), Generator().manual_seed(0))

    def noise(of: RolloutRegret) -> float:
        each = [
            gradient(
                policy, of(policy, of.refresh(data, Generator().manual_seed(s), policy)).mean()
            )
            for s in range(60)
        ]
        return float(torch.stack(each).var(0).sum())

    class Bare(RolloutRegret):
        def _steps(self, policy: Policy, batch: PolicyData) -> Any:
            steps = super()._steps(policy, batch)
            togo = steps.reward.flip(1) * 0
            total = torch.zeros_like(togo[:, 0])
            for t in range(togo.shape[1] - 1, -1, -1):
                total = steps.reward[:, t] + self.discount * total
                togo[:, t] = total
            return steps._replace(advantage=togo)

    assert noise(loss) < 0.7 * noise(Bare(simulator(), 0.8))


def test_score_rows_give_the_exact_hessian_of_the_soft_regret() -> None:
    """The Fisher matrix over discounted visits times the temperature, in the mean."""
    policy, mdp, tau = Net(), corridor(), 0.2
    loss = RolloutRegret(simulator(), mdp.discount, tau)
    target = build_target(policy, episodes(3000), loss, 1.0, 1.0, None, 0)
    logits = policy(cells().states)
    log_p = logits.log_softmax(-1)
    visits = mdp.occupancy(logits.detach())
    wanted = 0.0
    for level in range(3):
        for s in range(4):
            for a in range(2):
                g = gradient(policy, log_p[level, s, a])
                share = float(visits[level, s] * log_p[level, s, a].detach().exp()) / 3
                wanted += tau * share * float(g.square().sum())
    assert target.trace.value == pytest.approx(wanted, abs=4 * target.trace.stderr)
    assert target.trace.stderr < 0.1 * wanted


class Table(nn.Module):
    """Logits of what is seen: one row of weights for each level and state."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(logits.flatten(0, 1).clone())

    def forward(self, states: Tensor) -> Tensor:
        return states @ self.rows


def solved(tau: float) -> tuple[Table, Tensor]:
    """The best policy of the corridor at a temperature, and one-hot states `[3, 4, 12]`."""
    states = torch.eye(12, dtype=torch.float64).view(3, 4, 12)
    return Table(corridor().optimal_logits(tau)), states


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")
def test_the_llc_is_that_of_the_exact_regret() -> None:
    tau = 0.3
    settings: dict[str, Any] = {"nbeta": 60.0, "localization": 1.0, "gauge": "none"}
    policy, states = solved(tau)
    exact = estimate_llc(
        policy, PolicyData(states), loss=ExactRegret(corridor(), tau), seed=1, draws=200, **settings
    )
    assert exact.status == "ok"
    level = torch.arange(480) % 3
    data = PolicyData(states[level, 0], level=level, episode=torch.arange(480))
    loss = RolloutRegret(TabularSimulator(corridor(), states, 30), 0.8, tau)
    e = estimate_llc(
        policy, data, loss=loss, draws=80, burn_in=40, batch_size=96, seed=1, **settings
    )
    assert e.n_states == 480 and e.status != "failed", e.message
    assert abs(e.llc - exact.llc) < 3 * math.hypot(e.stderr, exact.stderr)
    assert e.stderr < 0.2 * exact.llc


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")
def test_too_few_episodes_for_the_temperature_give_no_number() -> None:
    policy, states = solved(0.3)
    data = PolicyData(states[:, 0], level=torch.arange(3), episode=torch.arange(3))
    loss = RolloutRegret(TabularSimulator(corridor(), states, 60), 0.8, 0.3)
    e = estimate_llc(
        policy, data.take(torch.arange(3).repeat(4)).with_fields(episode=torch.arange(12)),
        loss=loss, nbeta=2e4, batch_size=8, draws=40, burn_in=20, gauge="none", seed=1,
    )  # fmt: skip
    assert e.status == "failed" and math.isnan(e.llc)


def test_equal_policies_play_the_same_and_ended_episodes_stay_so() -> None:
    policy, data = Net(), episodes(50)
    assert data.level is not None
    played = simulator()(policy, data.level, 3)
    again = simulator()(Net(), data.level, 3)
    for name, value in played.tensors().items():
        assert torch.equal(value, getattr(again, name)), name
    assert played.episode is not None and played.rewards is not None
    assert played.episode.unique().tolist() == list(range(50))
    assert bool((played.episode.diff() >= 0).all())
    _, lengths = torch.unique_consecutive(played.episode, return_counts=True)
    last = lengths.cumsum(0) - 1
    earned = torch.zeros(len(played), dtype=torch.bool)
    earned[last] = True
    assert bool((played.rewards[~earned] == 0).all())
    assert int(lengths.max()) <= 60


def test_what_it_lacks_is_named() -> None:
    loss = RolloutRegret()
    with pytest.raises(InputError, match="simulator=None: must be given"):
        estimate_llc(Net(), episodes(6), loss=loss, sampler=BAOAB())
    played = replace(loss, simulator=simulator())
    with pytest.raises(InputError, match="level=None"):
        estimate_llc(Net(), PolicyData(cells().states[:, 0]), loss=played)
    with pytest.raises(InputError, match="temperature"):
        replace(loss, temperature=-1.0)
    with pytest.raises(InputError, match="discount"):
        replace(loss, discount=0.0)
