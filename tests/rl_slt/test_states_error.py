"""The standard error over states, against the spread of exact LLCs over resampled state sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rl_slt import LLCEstimate, PolicyData, PolicyNLL, Settings, estimate_with
from rl_slt.losses.base import LossFunction, PlainLoss, Policy, logits_of
from rl_slt.verdict.jackknife import STATES, _unseen

EPISODES, LENGTH, INPUTS = 30, 8, 8
NBETA, GAMMA = 50.0, 4.0


def squared(policy: Policy, batch: PolicyData) -> Tensor:
    """Half the squared change of the output: `L = 1/2 (w - w*)' H (w - w*)`, `H = mean s s'`."""
    assert batch.reference_logits is not None
    return 0.5 * (logits_of(policy(batch.states)) - batch.reference_logits).square().sum(-1)


def state_set(seed: int, episodes: int = EPISODES, *, sizes: bool = False) -> tuple[Tensor, Tensor]:
    """States of independent episodes, alike within each."""
    rng = np.random.default_rng(seed)
    center = rng.standard_normal((episodes, 1, INPUTS)) * 2.0 ** -np.arange(INPUTS)
    states = center + 0.1 * rng.standard_normal((episodes, LENGTH, INPUTS))
    if sizes:
        states *= rng.gamma(4.0, 0.25, (episodes, 1, 1))
    number = np.arange(episodes).repeat(LENGTH)
    return torch.from_numpy(states.reshape(-1, INPUTS)), torch.from_numpy(number)


def exact(states: Tensor, relative: float | None = None, ridge: float = GAMMA / NBETA) -> float:
    """The LLC of the quadratic loss, `1/2 sum h / (h + gamma / nbeta)`."""
    h = torch.linalg.eigvalsh(states.T @ states / len(states))
    ridge = ridge if relative is None else float(h.sum()) / (2 * relative)
    return float((h / (h + ridge)).sum() / 2)


def estimate(
    data: Tensor | PolicyData, loss: LossFunction = squared, actions: int = 1, **changes: object
) -> LLCEstimate:
    torch.manual_seed(0)
    policy = nn.Linear(INPUTS, actions, bias=False).double()
    given = dict(nbeta=NBETA, localization=GAMMA, chains=8, draws=120, burn_in=40) | changes
    seed = int(given.pop("seed", 0))  # type: ignore[call-overload]
    return estimate_with(policy, data, Settings(**given), loss, seed=seed)  # type: ignore[arg-type]


def root_mean_square(errors: Sequence[float | None]) -> float:
    return float(np.mean([e**2 for e in errors if e is not None]) ** 0.5)


SPREAD = float(np.std([exact(state_set(seed)[0]) for seed in range(2000)]))


def test_the_error_over_states_is_the_spread_over_state_sets() -> None:
    sets = [state_set(seed) for seed in range(5000, 5010)]
    found = [estimate(PolicyData(s, episode=e), seed=i) for i, (s, e) in enumerate(sets)]
    assert root_mean_square([e.stderr_states for e in found]) == pytest.approx(SPREAD, rel=0.25)
    for one, (s, _) in zip(found, sets, strict=True):
        assert one.llc == pytest.approx(exact(s), abs=4 * one.stderr)
    independent = [estimate(s, seed=i).stderr_states for i, (s, _) in enumerate(sets[:5])]
    assert root_mean_square(independent) < 0.6 * SPREAD


def test_some_of_many_episodes_tell_the_error_over_all() -> None:
    """Of three times the states that are looked at."""
    episodes = 3 * STATES // LENGTH
    sets = [state_set(seed, episodes) for seed in range(3)]
    found = [
        estimate(PolicyData(s, episode=e), seed=i, draws=60, chains=16).stderr_states
        for i, (s, e) in enumerate(sets)
    ]
    spread = SPREAD * (EPISODES / episodes) ** 0.5
    assert root_mean_square(found) == pytest.approx(spread, rel=0.25)


def test_one_episode_tells_no_error_over_states() -> None:
    states = state_set(0)[0]
    data = PolicyData(states, episode=torch.full((len(states),), 7))
    assert estimate(data, draws=16, burn_in=8).stderr_states is None


def test_redrawn_actions_have_the_error_over_states_of_their_mean() -> None:
    """The mean over actions of `-log p(a|s)` is the KL and the entropy of the reference."""
    torch.manual_seed(0)
    policy, states = nn.Linear(INPUTS, 3).double(), state_set(1)[0]
    data = PolicyNLL().prepare(policy, PolicyData(states), torch.Generator().manual_seed(0))
    other = nn.Linear(INPUTS, 3).double()
    p = policy(states).softmax(-1)
    taken = [torch.full((len(data),), action) for action in range(3)]
    each = [PolicyNLL()(other, data.with_fields(actions=actions)) for actions in taken]
    mean = (p * torch.stack(each, 1)).sum(1) - torch.special.entr(p).sum(1)
    assert torch.allclose(PolicyNLL().expected(other, data), mean)
    fixed = PolicyNLL(redraw=False)
    assert torch.equal(fixed.expected(other, data), fixed(other, data))
    found = estimate(states, PolicyNLL(), actions=3, draws=24, burn_in=8).stderr_states
    assert found is not None and found > 0


class Squared(PlainLoss):
    """The quadratic loss with its curvature."""

    def __init__(self) -> None:
        super().__init__(squared)

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """The output itself, `[B, 1]`."""
        return logits_of(policy(batch.states))


def test_at_a_relative_temperature_the_trace_moves_with_the_states() -> None:
    """The error at the same nbeta, taken as a number, is another one."""
    relative = 10.0
    many = [state_set(seed, sizes=True)[0] for seed in range(2000)]
    spread = float(np.std([exact(s, relative) for s in many]))
    ridge = float(np.mean([s.square().sum(1).mean() for s in many])) / (2 * relative)
    spread_fixed = float(np.std([exact(s, ridge=ridge) for s in many]))
    sets = [state_set(seed, sizes=True) for seed in range(5000, 5006)]
    moving, fixed = [], []
    for i, (s, e) in enumerate(sets):
        data = PolicyData(s, episode=e)
        one = estimate(data, Squared(), nbeta=f"relative:{relative}", seed=i)
        assert one.llc == pytest.approx(exact(s, relative), abs=4 * one.stderr)
        moving.append(one.stderr_states)
        fixed.append(estimate(data, Squared(), nbeta=one.nbeta, seed=i).stderr_states)
    assert root_mean_square(moving) == pytest.approx(spread, rel=0.25)
    ratio = root_mean_square(moving) / root_mean_square(fixed)
    assert ratio == pytest.approx(spread / spread_fixed, rel=0.15)


def test_few_draws_tell_no_error_of_zero() -> None:
    """Sums over episodes of chains `[C, G]`, with noise of their own that hides the common part."""

    def told(sums: Any) -> float:
        return _unseen(sums @ sums.T)

    rng = np.random.default_rng(0)
    common = rng.standard_normal(100)
    clear = common + 0.1 * rng.standard_normal((4, 100))
    assert told(clear) == pytest.approx((common**2).sum(), rel=0.1)
    hidden = [0.05 * common + 3 * rng.standard_normal((4, 100)) for _ in range(50)]
    found = [told(noisy) for noisy in hidden]
    apart = [(n.sum(0) ** 2 - (n**2).sum(0)).sum() / 12 for n in hidden]
    assert min(apart) < -50 and min(found) > 0
    alone, pair = clear[:1], clear[:2]
    assert told(alone) == pytest.approx((alone**2).sum())
    assert told(pair) == pytest.approx((pair.mean(0) ** 2).sum())
