"""Agents: networks, PPO training with exact resume, checkpoints that load without running code."""

from typing import TYPE_CHECKING, Any

from agents.checkpoints import (
    Checkpoint,
    find_checkpoint,
    is_finished,
    list_checkpoints,
    load_policy,
)
from agents.config import TrainConfig
from agents.networks import NETWORKS, build_network
from envs.silence_gym import silence_gym

if TYPE_CHECKING:
    from agents.training import train

silence_gym()  # before anything imports stable-baselines3, which imports gym

__all__ = [
    "NETWORKS",
    "Checkpoint",
    "TrainConfig",
    "build_network",
    "find_checkpoint",
    "is_finished",
    "list_checkpoints",
    "load_policy",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import `train` at its first use: stable-baselines3 takes seconds, and loading needs none."""
    if name != "train":
        raise AttributeError(f"module 'agents' has no attribute {name!r}")
    from agents.training import train

    return train
