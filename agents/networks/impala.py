"""The IMPALA residual network with a width multiplier."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from agents.networks.base import Body, to_channels_last


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to images of the same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Section(nn.Module):
    """Convolution, pooling to half the size, two residual blocks."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1)
        self.residual1 = Residual(channels)
        self.residual2 = Residual(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to `[B, channels, ceil(H/2), ceil(W/2)]`."""
        x = F.max_pool2d(self.conv(x), kernel_size=3, stride=2, padding=1)
        return self.residual2(self.residual1(x))


class ImpalaBody(Body):
    """The large network of Espeholt et al. (2018), arXiv 1802.01561, figure 3, without its LSTM.

    `multiplier` scales the channels (16, 32, 32), as in Cobbe et al. (2020), arXiv 1912.01588.
    """

    micro_batch = 64

    def __init__(
        self,
        obs_shape: tuple[int, int, int] = (64, 64, 3),
        width: int = 256,
        multiplier: float = 1.0,
    ):
        super().__init__()
        self.width = width
        c1, c2, c3 = (max(1, round(c * multiplier)) for c in (16, 32, 32))
        self.section1 = Section(obs_shape[2], c1)
        self.section2 = Section(c1, c2)
        self.section3 = Section(c2, c3)
        rows, columns = (-(-size // 8) for size in obs_shape[:2])
        self.fc = nn.Linear(c3 * rows * columns, width)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        to_channels_last(self)

    @classmethod
    def settings_of(cls, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Width, and the multiplier that the first section's channels tell."""
        channels = weights["section1.conv.weight"].shape[0]
        return {**super().settings_of(weights), "multiplier": channels / 16}

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        x = self.section3(self.section2(self.section1(x)))
        return F.relu(self.fc(F.relu(x.flatten(1))))
