"""The environments of a training."""

from typing import Any

import torch

import envs
from agents.config import TrainConfig


def make_env(config: TrainConfig, **changes: Any) -> Any:
    """The vector environment that `config` trains in, with `changes` to `envs.make_vec`."""
    same = {
        name: getattr(config, name)
        for name in ("num_envs", "coin", "levels", "seed", "settings", "time_limit", "game")
    }
    threads = config.threads or torch.get_num_threads()
    return envs.make_vec(**(same | {"threads": threads} | changes))
