"""Return on levels never trained on, during training."""

from typing import Any

import numpy as np
import torch

from agents.config import TrainConfig
from agents.environment import make_env
from agents.ppo import FramePPO

WIDTH = 64


class Evaluator:
    """Plays whole episodes on `config.eval_levels` with sampled actions, in its own environment.

    What it draws depends on the seed and the step alone, so it keeps no state between calls.
    Every environment counts its first episodes, equally many, so that short ones weigh no more.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.num = min(WIDTH, config.eval_episodes)
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
            obs, reward, terminated, truncated, _ = self.env.step(_act(model, obs, generator))
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


@torch.no_grad()
def _act(model: FramePPO, obs: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Sampled actions `[B]` for frames `[B, H, W, C]`."""
    logits, _ = model.policy.logits_and_values(torch.from_numpy(obs).to(model.device))
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1).cpu().numpy()
