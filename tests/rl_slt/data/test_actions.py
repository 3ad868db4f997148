"""Actions that do the same count as one: their split is nothing that a loss can see."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import envs
from rl_slt import (
    SGLD,
    InputError,
    PolicyData,
    PolicyKL,
    PolicyNLL,
    Settings,
    estimate_llc,
    estimate_with,
)
from rl_slt.data.actions import merge_data, merge_policy, merged_logits

CLASSES = ((0,), (2, 4), (1,), (3,))


class Merged(nn.Module):
    """The same policy written with four actions from the start."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, x: Tensor) -> Tensor:
        logits = self.policy(x)
        both = torch.logaddexp(logits[:, 2], logits[:, 4])
        return torch.stack([logits[:, 0], both, logits[:, 1], logits[:, 3]], dim=1)


def policy() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5))


def test_the_probability_of_a_class_is_that_of_its_actions() -> None:
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    p, merged = logits.softmax(-1), merged_logits(logits, CLASSES).softmax(-1)
    expected = torch.stack([p[:, 0], p[:, 2] + p[:, 4], p[:, 1], p[:, 3]], dim=1)
    torch.testing.assert_close(merged, expected)


def test_an_estimate_is_that_of_the_policy_on_classes() -> None:
    states = torch.randn(200, 4)
    few = Settings(sampler=SGLD(step_size=1e-3), chains=2, draws=100, burn_in=60, gauge="none")
    for loss in (PolicyKL(), PolicyNLL()):
        found = estimate_with(policy(), states, few.replace(distinct_actions=CLASSES), loss)
        expected = estimate_with(Merged(policy()), states, few, loss)
        assert found.loss_mean == pytest.approx(expected.loss_mean, rel=1e-3)


@pytest.mark.filterwarnings("ignore:this LLC is suspect")  # of short chains
def test_merging_takes_the_split_out_of_the_estimate() -> None:
    states = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    few: dict[str, Any] = dict(nbeta=500.0, localization=10.0, draws=150, states_error=False)
    apart = estimate_llc(policy(), states, **few)
    merged = estimate_llc(policy(), states, distinct_actions=CLASSES, **few)
    assert apart.llc - merged.llc > 4 * (apart.stderr**2 + merged.stderr**2) ** 0.5


def test_a_reference_and_recorded_actions_are_merged_too() -> None:
    states, few = torch.randn(200, 4), Settings(chains=2, draws=20, burn_in=20)
    other = policy()
    with torch.no_grad():  # 2 takes from 4, the class stays as probable
        other[2].weight[4] = other[2].weight[2]  # type: ignore[index]
        shift = torch.tensor(0.5)
        other[2].bias[4] = other[2].bias[2]  # type: ignore[index]
        twin = merge_policy(other, CLASSES)
        changed = merge_policy(other, CLASSES)
        changed[2].bias[2] += shift  # type: ignore[index]
        changed[2].bias[4] += torch.log(2 - shift.exp())  # type: ignore[index]
    torch.testing.assert_close(twin(states).softmax(-1), changed(states).softmax(-1))
    estimate = estimate_with(
        policy(), states, few.replace(distinct_actions=CLASSES), PolicyKL(reference=policy())
    )
    assert estimate.loss_init == pytest.approx(0.0, abs=1e-6)
    data = merge_data(
        PolicyData(states, torch.arange(200) % 5, log_probs=torch.zeros(200)), CLASSES
    )
    assert data.actions is not None and data.log_probs is None
    assert data.actions[:5].tolist() == [0, 2, 1, 3, 1]


@pytest.mark.parametrize(
    "classes", [[[0, 1], [2, 3]], [[0, 1, 2], [2, 3, 4]], [[0, 1, 2, 3, 4], []]]
)
def test_classes_hold_each_action_once(classes: list[list[int]]) -> None:
    with pytest.raises(InputError, match=r"distinct_actions=.*must be classes .* 0 to 4 once"):
        estimate_llc(policy(), torch.randn(20, 4), distinct_actions=classes)


def test_a_games_idle_actions_do_the_same() -> None:
    classes = envs.find_game("coinrun").distinct_actions
    assert sorted(action for members in classes for action in members) == list(range(15))
    vector = envs.make_vec(1, levels=(0, 5), seed=0)
    frames = []
    for action in next(members for members in classes if len(members) > 1):
        vector.reset(seed=0)
        frames.append([vector.step(torch.tensor([a]).numpy())[0].copy() for a in (7, action, 7)])
    for other in frames[1:]:
        for one, two in zip(frames[0], other, strict=True):
            assert (one == two).all()
