"""Actor-critic networks over uint8 frames, in procgen's own layout."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Body(nn.Module):
    """From frames to features. Subclasses define `features(x)` and the attribute `width`.

    Frames arrive as uint8 `[B, H, W, C]`. Seen as `[B, C, H, W]` that is a channels_last tensor,
    so nothing is reordered before it is scaled to floats in [0, 1].
    """

    width: int
    scaled = True  # whether images are scaled to [0, 1]; else they are floats from 0 to 255
    takes_bytes = False  # whether the first layer scales them itself
    unseen: tuple[int, int] = (0, 0)  # last rows and columns that no output depends on
    micro_batch = 256  # samples computed at once in training: what a CPU's caches like
    frames = True  # whether it reads frames; else planes of a gridworld
    orthogonal = True  # whether heads on it begin as PPO's; else as torch makes them

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Frames uint8 `[B, H, W, C]` to features float `[B, width]`."""
        rows, columns = (
            size - unseen for size, unseen in zip(obs.shape[1:3], self.unseen, strict=True)
        )
        images = obs[:, :rows, :columns].permute(0, 3, 1, 2)
        if not self.scaled:
            return self.features(images.float())
        if self.takes_bytes:
            return self.features(images)
        # Two steps on purpose: uint8 times float in one is 40 times slower on a CPU.
        return self.features(images.float().mul_(1.0 / 255.0))

    def read(self, obs: torch.Tensor) -> torch.Tensor:
        """What the body reads of frames `[B, H, W, C]`, laid out as training computes best.

        Training keeps this in place of frames, so that it is made once for all passes over them.
        """
        return obs

    def read_features(self, read: torch.Tensor) -> torch.Tensor:
        """Features `[B, width]` of what `read` made of frames: those that `forward` has of them."""
        return self(read)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]`, floats in [0, 1], to features `[B, width]`.

        Bytes, too, where the body takes them.
        """
        raise NotImplementedError

    @classmethod
    def settings_of(cls, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """The settings of the body that has these weights, by the names that they have in it.

        Raises:
            KeyError: a layer that tells them is missing.
        """
        return {"width": weights["fc.weight"].shape[0]}


class ActorCritic(nn.Module):
    """Policy logits and value from a shared body, or from one body each.

    Named modules: `body`, `policy_head`, `value_head`; `value_body` when not shared;
    `policy_layers` and `value_layers` when there are layers between body and head.

    Args:
        make_body: makes a body.
        n_actions: number of logits A.
        shared: one body for policy and value, or one each.
        policy_layers: widths of the hidden layers between body and policy head.
        value_layers: widths of those before the value head.
        activation: after each of them, `tanh` or `relu`.
        normalize_images: whether frames are scaled to [0, 1]; else they are 0 to 255, as floats.
        actions: the actions that the policy head is over, where it is not over all A in order; the
            others have logit -inf, probability 0.
        critic: whether there is a value head; without one the network gives logits alone.
    """

    def __init__(
        self,
        make_body: Callable[[], Body],
        n_actions: int,
        *,
        shared: bool = True,
        policy_layers: Sequence[int] = (),
        value_layers: Sequence[int] = (),
        activation: str = "tanh",
        normalize_images: bool = True,
        actions: Sequence[int] | None = None,
        critic: bool = True,
    ):
        super().__init__()
        self.n_actions, self.actions = n_actions, actions
        self.body = make_body()
        self.value_body = None if shared else make_body()
        for body in (self.body, self.value_body):
            if body is not None:
                body.scaled = normalize_images
        widths = [self.body.width, *policy_layers], [self.body.width, *value_layers]
        self.policy_layers, self.value_layers = (hidden(w, activation) for w in widths)
        self.policy_head = nn.Linear(widths[0][-1], n_actions if actions is None else len(actions))
        self.value_head = nn.Linear(widths[1][-1], 1) if critic else None
        if self.body.orthogonal:
            init_head(self.policy_head, gain=0.01)
            if self.value_head is not None:
                init_head(self.value_head, gain=1.0)

    def forward(self, obs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Frames uint8 `[B, H, W, C]` to logits `[B, A]` and, with a critic, value `[B]`."""
        features = self.body(obs)
        if self.value_head is None:
            return self.logits(features)
        return self.heads(features, features if self.value_body is None else self.value_body(obs))

    def read_features(self, read: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `[B, width]` for the policy and for the value (the same tensor when shared).

        Args:
            read: what `body.read` made of frames.
        """
        features = self.body.read_features(read)
        value = self.value_body
        return features, features if value is None else value.read_features(read)

    def heads(self, policy: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `[B, A]` and value `[B]`, not in bfloat16 whatever the bodies were computed in."""
        value = full_precision(value)
        if self.value_layers is not None:
            value = self.value_layers(value)
        assert self.value_head is not None
        return self.logits(policy), self.value_head(value).squeeze(-1)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits `[B, A]` of features `[B, width]`, not in bfloat16 whatever these are."""
        features = full_precision(features)
        if self.policy_layers is not None:
            features = self.policy_layers(features)
        logits = self.policy_head(features)
        if self.actions is not None:
            logits = spread_logits(logits, self.actions, self.n_actions)
        return logits


def full_precision(x: torch.Tensor) -> torch.Tensor:
    """The same numbers in float32 where they are bfloat16."""
    return x.float() if x.dtype == torch.bfloat16 else x


def spread_logits(logits: torch.Tensor, actions: Sequence[int], n_actions: int) -> torch.Tensor:
    """Logits `[B, A]` of all actions from those `[B, K]` of some; -inf for the others.

    Args:
        logits: `[B, K]`.
        actions: which of the A actions each is of, `[K]`, all different.
        n_actions: A.
    """
    padded, place = F.pad(logits, (0, 1), value=-math.inf), {a: k for k, a in enumerate(actions)}
    columns = [place.get(action, len(actions)) for action in range(n_actions)]
    return torch.cat([padded[:, k : k + 1] for k in columns], dim=1)


def hidden(widths: Sequence[int], activation: str) -> nn.Sequential | None:
    """Layers from `widths[0]` features to `widths[-1]`, each with an activation; None for none."""
    if len(widths) == 1:
        return None
    layers = [
        part for i, o in pairwise(widths) for part in (nn.Linear(i, o), ACTIVATIONS[activation]())
    ]
    init_relu(made := nn.Sequential(*layers))
    return made


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
