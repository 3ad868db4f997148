"""The environments of a training, its network, and the return on levels that it never sees."""

from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch

import envs
from agents.checkpoints import NetworkSpec
from agents.config import TrainConfig
from agents.ppo import FramePPO

_WIDTH = 64  # environments of an evaluation


def make_env(config: TrainConfig, **changes: Any) -> Any:
    """The vector environment that `config` trains in, with `changes` to what it is made with."""
    game = envs.find_game(config.game)
    names = ("num_envs", "coin", "seed", "time_limit", *game.options)
    given = {name: getattr(config, name) for name in names}
    if "threads" in given:
        given["threads"] = config.threads or torch.get_num_threads()
    return resolve_name(game.make_vec)(**(given | changes))


def network_spec(config: TrainConfig) -> NetworkSpec:
    """What builds the network of `config`; one that is trained exactly has no critic.

    Args:
        config: of the training.
    """
    if envs.find_game(config.game).frames:
        return NetworkSpec(config.network, config.network_kwargs)
    grid = envs.CheeseGrid.of(config.grid, config.gamma)
    shape = (grid.planes, grid.size, grid.size)
    own = {"obs_shape": list(shape), "critic": config.trainer == "ppo"}
    return NetworkSpec(
        config.network,
        own | config.network_kwargs,
        len(envs.find_game(config.game).distinct_actions),
        shape,
    )


class Evaluator:
    """Plays whole episodes on `config.eval_levels` with sampled actions, in its own environment.

    What it draws depends on the seed and the step alone, so it keeps no state between calls.
    Every environment counts its first episodes, equally many, so that short ones weigh no more.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.num = min(_WIDTH, config.eval_episodes)
        self.env: Any = make_env(
            config, num_envs=self.num, levels=config.eval_levels, order="sequential"
        )

    def __call__(self, model: FramePPO) -> dict[str, float]:
        """Means over `eval_episodes` episodes: `eval_return` (raw) and `eval_length` (steps)."""
        generator = torch.Generator(model.device)
        generator.manual_seed((self.config.seed << 32) + model.num_timesteps)
        quota = np.full(self.num, self.config.eval_episodes // self.num)
        quota[: self.config.eval_episodes % self.num] += 1
        obs, _ = self.env.reset(seed=self.config.seed)
        returns, lengths = [], []
        total, length = np.zeros(self.num), np.zeros(self.num, int)
        while quota.any():
            with torch.no_grad():
                frames = torch.from_numpy(obs).to(model.device)
                logits, _ = model.policy.logits_and_values(frames)
            actions = envs.sample_actions(logits, generator)
            obs, reward, terminated, truncated, _ = self.env.step(actions)
            total, length = total + reward, length + 1
            for i in np.flatnonzero(terminated | truncated):
                if quota[i] > 0:
                    returns.append(total[i])
                    lengths.append(length[i])
                    quota[i] -= 1
                total[i], length[i] = 0.0, 0
        return {"eval_return": float(np.mean(returns)), "eval_length": float(np.mean(lengths))}

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
