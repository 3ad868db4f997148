"""PPO settings by name: `presets.get("paper", coin=..., steps=...)` gives a TrainConfig."""

from typing import Any

from agents.config import TrainConfig
from envs import PLAIN_FLAT
from rl_slt import InputError

PRESETS: dict[str, dict[str, Any]] = {
    # Langosco et al. 2022 (arXiv 2105.14111), whose settings are those of procgen's own paper.
    "paper": {},
    # Flat plain levels, small CNN: learned within minutes on two cores.
    "demo": {
        "network": "small",
        "settings": PLAIN_FLAT,
        "time_limit": 100,  # agents that miss the coin wait at the wall: less waiting, more levels
        "gamma": 0.99,
        "ent_coef": 0.02,
        "n_steps": 64,  # four times as many updates as with 256: learns about twice as fast here
        "batch_size": 512,
        "lr": 1e-3,
        "anneal_lr": True,
        "precision": "auto",
        "steps": 800_000,
        "levels": (0, 100_000),
        "checkpoints": "log:12",
    },
}


def get(name: str, **changes: Any) -> TrainConfig:
    """The settings called `name`, with `changes`; InputError for an unknown name."""
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}; known: {', '.join(sorted(PRESETS))}")
    return TrainConfig(**{**PRESETS[name], **changes})
