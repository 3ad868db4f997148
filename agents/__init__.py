"""Agents: networks, PPO training with exact resume, checkpoints that load without running code."""

from agents.checkpoints import (
    Checkpoint,
    find_checkpoint,
    is_finished,
    list_checkpoints,
    load_policy,
)
from agents.config import TrainConfig
from agents.networks import NETWORKS, build_network
from agents.train import train

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
