"""Stock stable-baselines3 PPO with the same network and settings, to compare with."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from agents.config import TrainConfig
from agents.networks import NETWORKS, Body


class BodyExtractor(BaseFeaturesExtractor):
    """One of our bodies behind SB3's own image handling (float32, NCHW)."""

    def __init__(self, observation_space: spaces.Box, body: type[Body], **kw: Any):
        module = body(**kw)
        super().__init__(observation_space, module.width)
        self.body = module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images float32 `[B, C, H, W]` to features."""
        return self.body.features(x)


def stock_model(config: TrainConfig, env: Any) -> PPO:
    """PPO as SB3 has it, with its defaults wherever `config` does not say otherwise."""
    return PPO(
        "CnnPolicy",
        env,
        learning_rate=(lambda left: config.lr * left) if config.anneal_lr else config.lr,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        clip_range_vf=config.clip_value,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        device="cpu",
        policy_kwargs={
            "net_arch": [],
            "ortho_init": False,
            "features_extractor_class": BodyExtractor,
            "features_extractor_kwargs": {"body": NETWORKS[config.network]},
        },
    )
