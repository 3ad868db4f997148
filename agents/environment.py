"""The environments of a training."""

from typing import Any

import envs
from agents.config import TrainConfig


def make_env(config: TrainConfig, **changes: Any) -> Any:
    """The vector environment that `config` trains in, with `changes` to `envs.make_vec`."""
    same = {
        name: getattr(config, name)
        for name in ("num_envs", "coin", "levels", "seed", "settings", "time_limit", "game")
    }
    return envs.make_vec(**(same | changes))
