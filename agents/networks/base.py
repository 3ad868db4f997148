"""Actor-critic networks over uint8 frames, in procgen's own layout."""

from collections.abc import Callable

import torch
from torch import nn


class Body(nn.Module):
    """From frames to features. Subclasses define `features(x)` and the attribute `width`.

    Frames arrive as uint8 `[B, H, W, C]`. Seen as `[B, C, H, W]` that is a channels_last tensor,
    so nothing is reordered before it is scaled to floats in [0, 1].
    """

    width: int
    takes_bytes = False  # whether the first layer scales them itself
    unseen: tuple[int, int] = (0, 0)  # last rows and columns that no output depends on
    micro_batch = 256  # samples computed at once in training: what a CPU's caches like

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Frames uint8 `[B, H, W, C]` to features float `[B, width]`."""
        rows, columns = (
            size - unseen for size, unseen in zip(obs.shape[1:3], self.unseen, strict=True)
        )
        images = obs[:, :rows, :columns].permute(0, 3, 1, 2)
        if self.takes_bytes:
            return self.features(images)
        # Two steps on purpose: uint8 times float in one is 40 times slower on a CPU.
        return self.features(images.float().mul_(1.0 / 255.0))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]`, floats in [0, 1], to features `[B, width]`.

        Bytes, too, where the body takes them.
        """
        raise NotImplementedError


class ActorCritic(nn.Module):
    """Policy logits and value from a shared body, or from one body each.

    Named modules: `body`, `policy_head`, `value_head` and, when not shared, `value_body`.
    """

    def __init__(self, make_body: Callable[[], Body], n_actions: int, *, shared: bool = True):
        super().__init__()
        self.body = make_body()
        self.value_body = None if shared else make_body()
        self.policy_head = nn.Linear(self.body.width, n_actions)
        self.value_head = nn.Linear(self.body.width, 1)
        init_head(self.policy_head, gain=0.01)
        init_head(self.value_head, gain=1.0)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames uint8 `[B, H, W, C]` to logits `[B, A]` and value `[B]`."""
        return self.heads(*self.bodies(obs))

    def bodies(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `[B, width]` for the policy and for the value (the same tensor when shared)."""
        features = self.body(obs)
        return features, features if self.value_body is None else self.value_body(obs)

    def heads(self, policy: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `[B, A]` and value `[B]` in float32, whatever the bodies were computed in."""
        return self.policy_head(policy.float()), self.value_head(value.float()).squeeze(-1)


def init_head(layer: nn.Linear, gain: float) -> None:
    """Orthogonal weights, zero bias: a small gain makes the first policy nearly uniform."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)


def init_relu(body: nn.Module) -> None:
    """Orthogonal weights with gain sqrt(2), zero bias (the usual initialization for PPO)."""
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight, 2**0.5)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    to_channels_last(body)


def to_channels_last(module: nn.Module) -> None:
    """Store convolution weights in the layout of the frames, once and for all."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
