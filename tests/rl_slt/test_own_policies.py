"""Policies as people have them: in other precisions, masked, wrapped, or not of a state alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional as F

from rl_slt import InputError, LLCEstimate, PolicyData, PolicyKL, estimate_llc
from rl_slt.data.policies import readable_policy
from rl_slt.losses.base import logits_of

STATES = torch.randn(120, 4, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Logits `[B, 3]` of states `[B, 4]`, in the form that `form` gives."""

    def __init__(self, form: Any = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        self.form = form

    def forward(self, states: Tensor) -> Any:
        logits = self.head(F.relu(self.body(states)))
        return logits if self.form is None else self.form(logits)


def estimate(policy: nn.Module, states: Tensor = STATES, **settings: Any) -> LLCEstimate:
    settings = {"chains": 2, "draws": 250, "burn_in": 50, "localization": 10.0} | settings
    return estimate_llc(policy, states, **settings)


@pytest.fixture(scope="module")
def plain() -> LLCEstimate:
    found = estimate(Net())
    assert found.status == "ok" and found.llc > 1
    return found


@pytest.mark.filterwarnings("ignore:this LLC is suspect")  # both are the same, and short
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    low, states = Net().to(dtype), STATES.to(dtype)
    found, wanted = estimate(low, states, draws=60), estimate(low.float(), states.float(), draws=60)
    assert found.llc == wanted.llc


def test_double_precision_gives_the_same_llc(plain: LLCEstimate) -> None:
    found = estimate(Net().double(), STATES.double())
    assert abs(found.llc - plain.llc) < 3 * (found.stderr**2 + plain.stderr**2) ** 0.5


def test_masked_actions_have_probability_zero(plain: LLCEstimate) -> None:
    masked = Net(lambda logits: F.pad(logits, (1, 1), value=-torch.inf))
    found = estimate(masked)
    assert found.status == "ok"
    assert found.llc == pytest.approx(plain.llc, abs=3 * plain.stderr)
    for name in ("entropy", "information", "logit_scale"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-5)
    assert (found.gauge, plain.gauge) == ("balanced", "balanced")
    merged = [[0, 1], [2], [3, 4]]
    matched = estimate(masked, match_entropy=0.5, distinct_actions=merged)
    assert matched.status == "ok" and matched.entropy == pytest.approx(0.5, rel=1e-4)
    measured = estimate(masked, loss=PolicyKL(reference=masked))
    assert measured.llc == pytest.approx(plain.llc, abs=3 * plain.stderr)


def test_a_random_policy_is_refused_and_random_state_kept() -> None:
    policy = Net(lambda logits: F.dropout(logits, 0.5))
    before = torch.get_rng_state()
    with pytest.raises(InputError, match="the policy is random"):
        estimate(policy)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_policy_that_depends_on_the_batch_is_refused() -> None:
    policy = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5, track_running_stats=False), Net().head
    )
    for states in (STATES, STATES[:2]):
        with pytest.raises(InputError, match="depends on the batch"):
            estimate(policy, states)
    with_statistics = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), Net().head)
    readable_policy(with_statistics, PolicyData(STATES))


def test_a_module_that_keeps_an_activation(plain: LLCEstimate) -> None:
    class Keeps(Net):
        def forward(self, states: Tensor) -> Any:
            self.kept = {"hidden": [self.body(states)]}
            return super().forward(states)

    policy = Keeps()
    policy(STATES)
    assert estimate(policy).llc == pytest.approx(plain.llc, abs=3 * plain.stderr)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weight_norm() -> None:
    policies = []
    for norm in (torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.weight_norm):
        policy: Any = Net()
        policy.body = norm(policy.body)
        policy(STATES)
        policies.append(policy)
    first, second = (estimate(policy) for policy in policies)
    assert first.llc > 1
    assert abs(first.llc - second.llc) < 3 * (first.stderr**2 + second.stderr**2) ** 0.5


def values(logits: Tensor) -> Tensor:
    return logits.sum(-1)


@pytest.mark.parametrize(
    "form",
    [
        lambda logits: Categorical(logits=logits),
        lambda logits: (Categorical(logits=logits), values(logits)),
        lambda logits: [logits, values(logits)],
    ],
    ids=["distribution", "distribution and value", "list"],
)
def test_forms_of_output_that_are_read(form: Any) -> None:
    readable, _ = readable_policy(Net(form), PolicyData(STATES))
    wanted = Net()(STATES)
    assert torch.allclose(logits_of(readable(STATES)).log_softmax(-1), wanted.log_softmax(-1))


def test_a_policy_that_returns_a_distribution(plain: LLCEstimate) -> None:
    found = estimate(Net(lambda logits: (Categorical(logits=logits), values(logits))))
    assert found.llc == pytest.approx(plain.llc, abs=3 * plain.stderr)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda x: {"logits": x}, "returned a dict; it must return logits"),
        (lambda x: (values(x), x), "in this order"),
        (lambda x: [values(x)[:, None], x], r"\[64, 1\] and then \[64, 3\].*in this order"),
        (lambda x: (values(x)[:, None], values(x)), "of at least 2 actions"),
        (lambda x: (x.argmax(-1), values(x), values(x)), "as of actions; it must return logits"),
        (lambda x: None, "returned a NoneType"),
    ],
)
def test_forms_of_output_that_are_refused(form: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate(Net(form))


def test_numbers_of_numpy(plain: LLCEstimate) -> None:
    found = estimate(
        Net(), chains=np.int64(2), draws=np.int32(250), burn_in=np.int64(50), seed=np.int64(0),
        localization=np.float32(10.0),
    )  # fmt: skip
    assert found.llc == plain.llc
    with pytest.raises(InputError, match="chains="):
        estimate(Net(), chains=np.bool_(True))


def test_a_policy_of_sb3(plain: LLCEstimate) -> None:
    torch.manual_seed(0)
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    policy = ActorCriticPolicy(
        space, spaces.Discrete(3), lambda _: 1e-3, net_arch=[5], activation_fn=nn.ReLU
    )
    ours = Net()
    with torch.no_grad():
        layers = (policy.mlp_extractor.policy_net[0], ours.body), (policy.action_net, ours.head)
        for theirs, of_net in layers:
            theirs.load_state_dict(of_net.state_dict())
    found = estimate(policy, params=("mlp_extractor.policy_net.*", "action_net.*"))
    assert found.llc == pytest.approx(plain.llc, abs=3 * plain.stderr)


@pytest.mark.parametrize("shared", [True, False])
def test_an_image_policy_of_sb3_takes_frames_as_they_come(shared: bool) -> None:
    space = spaces.Box(0, 255, (3, 36, 36), np.uint8)
    policy = ActorCriticCnnPolicy(
        space, spaces.Discrete(3), lambda _: 1e-3, share_features_extractor=shared
    ).eval()
    frames = torch.randint(0, 256, (6, 36, 36, 3), dtype=torch.uint8)
    readable, data = readable_policy(policy, PolicyData(frames))
    with torch.no_grad():
        logits, value = readable(data.states)
        theirs = frames.permute(0, 3, 1, 2)
        distribution: Any = policy.get_distribution(theirs).distribution
        assert torch.allclose(logits.log_softmax(-1), distribution.logits, atol=1e-6)
        assert torch.allclose(value, policy.predict_values(theirs)[:, 0], atol=1e-6)
