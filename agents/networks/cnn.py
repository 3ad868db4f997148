"""Plain convolutional bodies: the small CNN and the NatureCNN."""

import torch
from torch import nn
from torch.nn import functional as F

from agents.networks.base import Body, init_relu, to_channels_last


class SmallBody(Body):
    """Two convolutions and one layer: 158,896 parameters at the standard frame."""

    def __init__(self, obs_shape: tuple[int, int, int] = (64, 64, 3), width: int = 128):
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv2d(obs_shape[2], 16, kernel_size=8, stride=4)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=4, stride=2)
        self.fc = nn.Linear(flat_size([self.conv1, self.conv2], obs_shape), width)
        init_relu(self)
        to_channels_last(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        return F.relu(self.fc(x.flatten(1)))


class NatureBody(Body):
    """The CNN of Mnih et al. (2015), "Human-level control through deep reinforcement learning"."""

    def __init__(self, obs_shape: tuple[int, int, int] = (64, 64, 3), width: int = 512):
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv2d(obs_shape[2], 32, kernel_size=8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, stride=1)
        self.fc = nn.Linear(flat_size([self.conv1, self.conv2, self.conv3], obs_shape), width)
        init_relu(self)
        to_channels_last(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        return F.relu(self.fc(x.flatten(1)))


def flat_size(convolutions: list[nn.Conv2d], obs_shape: tuple[int, int, int]) -> int:
    """Number of outputs of `convolutions` in a row, on frames of `obs_shape` (H, W, C)."""
    with torch.no_grad():
        x = torch.zeros(1, obs_shape[2], obs_shape[0], obs_shape[1])
        for layer in convolutions:
            x = layer(x)
    return x.numel()
