"""Our PPO means what SB3's means: the same gradient, the same advantages."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from agents.config import TrainConfig
from agents.networks import build_network
from agents.ppo import FramePPO
from agents.training import build_model

CONFIG = TrainConfig(
    network="small",
    num_envs=4,
    n_steps=16,
    batch_size=64,
    micro_batch=24,  # does not divide: the last micro-batch is smaller
    epochs=1,
    max_grad_norm=0.5,
    gamma=0.9,
    normalize_reward=False,
)


class KeepGradient(torch.optim.SGD):
    """Takes no step, so that the gradient of the only minibatch can be read afterwards."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.kept = [p.grad.clone() for group in self.param_groups for p in group["params"]]


def rollout(config: TrainConfig, fake_vec: Any) -> FramePPO:
    model = build_model(config, fake_vec(config.num_envs, seed=3), torch.device("cpu"))
    _, callback = model._setup_learn(10**6, None)
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, config.n_steps)
    return model


def gradient_of(train: object, model: FramePPO) -> list[torch.Tensor]:
    with torch.no_grad():  # away from the rollout's policy: ratios differ from 1, some are clipped
        generator = torch.Generator().manual_seed(0)
        for p in model.policy.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    model.policy.optimizer = KeepGradient(model.policy.parameters(), lr=0.1)
    train(model)  # type: ignore[operator]
    return model.policy.optimizer.kept


@pytest.mark.parametrize("threads", [1, 2, 5])  # 5: more than there are micro-batches
def test_a_minibatch_has_the_gradient_of_stock_sb3(threads: int, fake_vec: Any) -> None:
    config = CONFIG.replace(threads=threads)
    ours = gradient_of(FramePPO.train, rollout(config, fake_vec))
    again = gradient_of(FramePPO.train, rollout(config, fake_vec))
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    theirs = gradient_of(PPO.train, rollout(CONFIG, fake_vec))
    scale = max(float(g.abs().max()) for g in theirs)
    assert scale > 1e-3
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * scale, rtol=1e-5)


class Recorder(BaseCallback):
    """Keeps what a rollout saw, and its advantages."""

    def __init__(self) -> None:
        super().__init__()
        self.model: FramePPO
        self.infos: list[list[dict]] = []

    def _on_step(self) -> bool:
        self.infos.append(self.locals["infos"])
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        self.kept = {
            name: getattr(buffer, name).copy()
            for name in ("rewards", "values", "advantages", "returns", "episode_starts")
        }
        assert buffer.frames is not None
        self.frames = buffer.frames.clone()
        self.last = torch.from_numpy(self.model._last_obs)
        net: Any = self.model.policy.network
        self.value = lambda obs: net(obs)[1].detach().numpy()
        self.recomputed = self._by_hand()

    def _by_hand(self) -> np.ndarray:
        """GAE (Schulman et al. 2016, equation 16), summed forwards from its definition."""
        gamma, lam = CONFIG.gamma, CONFIG.gae_lambda
        steps, n = self.kept["rewards"].shape
        values = np.stack([self.value(f) for f in self.frames] + [self.value(self.last)])
        out = np.zeros((steps, n))
        for i in range(n):
            for t in range(steps):
                weight = 1.0
                for k in range(t, steps):
                    info = self.infos[k][i]
                    reward = self.raw_reward(k, i)
                    if "episode" not in info:
                        next_value = values[k + 1, i]
                    elif info["TimeLimit.truncated"]:
                        frame = torch.from_numpy(info["terminal_observation"])[None]
                        next_value = self.value(frame)[0]
                    else:
                        next_value = 0.0
                    out[t, i] += weight * (reward + gamma * next_value - values[k, i])
                    if "episode" in info:
                        break
                    weight *= gamma * lam
        return out

    def raw_reward(self, t: int, i: int) -> float:
        wanted = int(self.frames[t, i, 5, 5, 0]) // 17
        return float(self.model.rollout_buffer.actions[t, i] == wanted)


def test_advantages_of_cut_episodes_inside_learn(fake_vec: Any) -> None:
    model = build_model(CONFIG, fake_vec(CONFIG.num_envs, seed=5), torch.device("cpu"))
    model.set_logger(Logger(folder=None, output_formats=[]))
    recorder = Recorder()
    model.learn(CONFIG.rollout_steps, callback=recorder, log_interval=10**9)
    ends = [info for step in recorder.infos for info in step if "episode" in info]
    assert any(e["TimeLimit.truncated"] for e in ends)
    assert any(not e["TimeLimit.truncated"] for e in ends)
    np.testing.assert_allclose(recorder.kept["advantages"], recorder.recomputed, atol=1e-5)
    np.testing.assert_allclose(
        recorder.kept["returns"], recorder.recomputed + recorder.kept["values"], atol=1e-5
    )


@pytest.mark.parametrize("network", ["small", "impala"])
def test_networks_keep_their_own_initialisation(network: str, fake_vec: Any) -> None:
    model = build_model(
        CONFIG.replace(network=network, seed=7), fake_vec(CONFIG.num_envs), torch.device("cpu")
    )
    torch.manual_seed(7)
    own = build_network(network)
    assert model.policy.network.state_dict().keys() == own.state_dict().keys()
    for name, value in own.state_dict().items():
        assert torch.equal(model.policy.network.state_dict()[name], value), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_learning_the_fake_game(precision: str, fake_vec: Any) -> None:
    config = CONFIG.replace(
        num_envs=16, n_steps=32, batch_size=128, epochs=4, lr=1e-3, precision=precision, gamma=0.5
    )
    model = build_model(config, fake_vec(16, seed=1), torch.device("cpu"))
    model.learn(12 * config.rollout_steps, log_interval=10**9)
    assert model.ep_info_buffer is not None
    last = np.mean([e["r"] / e["l"] for e in model.ep_info_buffer])
    assert last > 0.3, last  # chance is 1 in 15
