"""The policy class that lets stable-baselines3 train one of our networks unchanged."""

from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from torch.nn import functional as F

from agents.checkpoints import NetworkSpec


class FramePolicy(BasePolicy):
    """An `ActorCritic` behind the interface that PPO expects; it keeps its own initialization.

    Frames stay uint8 `[B, H, W, C]` until the network, or what it reads of them; with `mixed` the
    bodies run in bfloat16 while heads, losses and weights stay float32.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Any,
        *,
        spec: NetworkSpec,
        seed: int = 0,
        sampler_device: torch.device | str = "cpu",
        mixed: bool = False,
        use_sde: bool = False,
    ):
        assert not use_sde
        super().__init__(observation_space, action_space, normalize_images=False)
        self.spec = spec
        self.mixed = mixed
        self.network = spec.build()
        # One pass over all weights instead of a Python loop over tensors; eps as in PPO's papers.
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=lr_schedule(1), eps=1e-5, foreach=True
        )
        self.sampler = torch.Generator(sampler_device).manual_seed(seed)

    def read(self, obs: torch.Tensor) -> torch.Tensor:
        """What the network reads of frames `[B, H, W, C]`; all methods take it in their place."""
        return self.network.body.read(obs)

    def logits_and_values(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames uint8 `[B, H, W, C]` to logits `[B, A]` and values `[B]`, both float32."""
        if obs.shape[1:] == self.observation_space.shape:
            obs = self.read(obs)
        with torch.autocast(obs.device.type, torch.bfloat16, enabled=self.mixed):
            features = self.network.read_features(obs)
        with torch.autocast(obs.device.type, enabled=False):
            logits, values = self.network.heads(*features)
        return logits, values

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions `[B]`, values `[B]` and log-probabilities `[B]` of the actions taken."""
        logits, values = self.logits_and_values(obs)
        log_probs = F.log_softmax(logits, dim=-1)
        if deterministic:
            actions = log_probs.argmax(dim=-1, keepdim=True)
        else:
            actions = torch.multinomial(log_probs.exp(), 1, generator=self.sampler)
        return actions.squeeze(-1), values, log_probs.gather(-1, actions).squeeze(-1)

    def evaluate_actions(
        self, obs: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values `[B]`, log-probabilities `[B]` of `actions` `[B]`, and entropies `[B]` in nats."""
        logits, values = self.logits_and_values(obs)
        log_probs = F.log_softmax(logits, dim=-1)
        taken = log_probs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)
        return values, taken, -(log_probs.exp() * log_probs).sum(-1)

    def predict_values(self, obs: torch.Tensor) -> torch.Tensor:
        """Values `[B]` of frames `[B, H, W, C]`."""
        return self.logits_and_values(obs)[1]

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return self.forward(observation, deterministic)[0]
