"""On-policy episodes: whole, with exact advantages and returns, in training's reward units."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import envs
from agents import TrainConfig
from agents.checkpoints import NetworkSpec, save_checkpoint
from rl_slt import SGLD, PolicyData
from rl_slt.losses import Regret, Surrogate
from rl_slt.pipeline.plan.by_name import build_loss, build_sampler, check_loss
from rl_slt.pipeline.states import StateSetSpec, collect_episodes, discounted

SPEC = StateSetSpec(
    name="on-policy", placements=("end@mid",), settings=envs.PLAIN_FLAT, levels=(0, 100), n=80,
    time_limit=12, seed=0,
)  # fmt: skip


def collected(folder: Path, variance: float = 4.0) -> tuple[PolicyData, torch.nn.Module]:
    torch.manual_seed(0)
    spec = NetworkSpec("patch", {})
    network = spec.build().eval()
    with torch.no_grad():
        network.policy_head.bias[7] = 3.0  # mostly right: some coins within 12 steps
    checkpoint = save_checkpoint(folder, 0, network, spec, {})
    header = json.loads((checkpoint.path / "policy.json").read_text())
    header["reward"] = {"var": variance}
    (checkpoint.path / "policy.json").write_text(json.dumps(header))
    train = TrainConfig(gamma=0.9, gae_lambda=0.8)
    data = collect_episodes(SPEC, network, checkpoint.path, folder / "cache", "w", train)
    return data, network


def test_discounting() -> None:
    out = discounted(np.array([1.0, 2.0, 3.0]), 10.0, 0.5)
    assert out.tolist() == [1 + 0.5 * (2 + 0.5 * (3 + 0.5 * 10)), 2 + 0.5 * (3 + 5), 3 + 5]


def test_advantages_and_returns_of_every_episode(tmp_path: Path) -> None:
    data, network = collected(tmp_path)
    assert len(data) >= 80 and data.episode is not None and data.rewards is not None
    with torch.no_grad():
        logits, values = network(data.states)
    taken = logits.log_softmax(-1).gather(1, data.actions.long()[:, None])[:, 0]  # type: ignore[union-attr]
    torch.testing.assert_close(data.log_probs, taken, atol=1e-5, rtol=1e-5)
    assert set(np.unique(data.rewards.numpy())) <= {0.0, np.float32(10 / 2.0)}
    for number in data.episode.unique():
        mine = data.episode == number
        value, reward = values[mine].double(), data.rewards[mine].double()
        assert len(reward) <= 12
        if reward[-1] == 0 and len(reward) == 12:
            continue  # cut by the time limit: bootstrapped from a frame that is not kept
        after = torch.cat([value[1:], torch.zeros(1, dtype=torch.float64)])
        delta = (reward + 0.9 * after - value).numpy()
        expected = [sum(0.72**k * d for k, d in enumerate(delta[t:])) for t in range(len(delta))]
        advantages = data.advantages[mine].numpy()  # type: ignore[index]
        np.testing.assert_allclose(advantages, expected, atol=1e-4)


def test_episodes_are_cached(tmp_path: Path) -> None:
    first, _ = collected(tmp_path)
    (path,) = (tmp_path / "cache").glob("episodes-*.npz")
    stamp = path.stat().st_mtime_ns
    again, _ = collected(tmp_path)
    assert path.stat().st_mtime_ns == stamp and torch.equal(first.states, again.states)


@pytest.mark.parametrize(
    ("loss", "source", "reference", "message"),
    [
        ("moon", "frozen", "self", "loss='moon': must be one of kl, nll"),
        (
            "regret",
            "frozen",
            "self",
            "states='frozen': must be on-policy, without a filter: loss 'regret'",
        ),
        ("value", "on-policy", "last", "reference='last': must be self: loss 'value' has no other"),
        ("surrogate:clip=0.2", "frozen", "self", "loss 'surrogate' needs whole episodes"),
        (
            "regret:clip",
            "on-policy",
            "self",
            "loss='regret:clip': must be regret:clip=NUMBER,self-norm",
        ),
        ("kl:clip=2", "frozen", "self", "loss='kl:clip=2': must be kl, without settings"),
        ("surrogate:clip=wide", "on-policy", "self", "must be a number after `=`, not 'wide'"),
        ("surrogate:clip=-1", "on-policy", "self", "clip=-1.0: must be above 0"),
        ("regret:", "on-policy", "self", "loss='regret:': must be regret:clip=NUMBER"),
    ],
)
def test_losses_that_do_not_fit(loss: str, source: str, reference: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_loss(loss, source, reference)


def test_names_give_losses_and_samplers() -> None:
    for name in ("kl", "nll", "regret", "surrogate", "value"):
        check_loss(name, "on-policy", "self")
        assert build_loss(name).name == name
    clipped = build_loss("surrogate:clip=0.2")
    assert isinstance(clipped, Surrogate) and clipped.clip == 0.2
    regret = build_loss("regret:clip=10,self-normalized", discount=0.9)
    assert isinstance(regret, Regret)
    assert (regret.clip, regret.self_normalized, regret.discount) == (10, True, 0.9)
    plain = build_loss("regret")
    assert isinstance(plain, Regret) and plain.discount == Regret().discount
    assert build_sampler("auto", None) is None
    assert build_sampler("sgld", 1e-4) == SGLD(step_size=1e-4)
    with pytest.raises(ValueError, match="sampler='moon': must be one of auto, sgld"):
        build_sampler("moon", None)
