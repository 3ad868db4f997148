"""Plain convolutional bodies: the small CNN and the NatureCNN."""

import torch
from torch import nn
from torch.nn import functional as F

from agents.networks.base import Body, init_relu, to_channels_last
from agents.networks.strided import StridedConv2d


class SmallBody(Body):
    """Two convolutions and one layer: 158,896 parameters at the standard frame."""

    takes_bytes = True

    def __init__(self, obs_shape: tuple[int, int, int] = (64, 64, 3), width: int = 128):
        super().__init__()
        self.width = width
        self.conv1 = StridedConv2d(obs_shape[2], 16, kernel_size=8, stride=4)
        self.conv2 = StridedConv2d(16, 32, kernel_size=4, stride=2)
        convolutions: list[nn.Conv2d] = [self.conv1, self.conv2]
        self.fc = nn.Linear(flat_size(convolutions, obs_shape), width)
        self.unseen = unseen(convolutions, obs_shape)
        init_relu(self)
        to_channels_last(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x).flatten(1))  # in this order backward passes need no reordering
        return F.relu(self.fc(x))


class NatureBody(Body):
    """The CNN of Mnih et al. (2015), "Human-level control through deep reinforcement learning"."""

    takes_bytes = True

    def __init__(self, obs_shape: tuple[int, int, int] = (64, 64, 3), width: int = 512):
        super().__init__()
        self.width = width
        self.conv1 = StridedConv2d(obs_shape[2], 32, kernel_size=8, stride=4)
        self.conv2 = StridedConv2d(32, 64, kernel_size=4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, stride=1)
        convolutions: list[nn.Conv2d] = [self.conv1, self.conv2, self.conv3]
        self.fc = nn.Linear(flat_size(convolutions, obs_shape), width)
        self.unseen = unseen(convolutions, obs_shape)
        init_relu(self)
        to_channels_last(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x).flatten(1))
        return F.relu(self.fc(x))


def flat_size(convolutions: list[nn.Conv2d], obs_shape: tuple[int, int, int]) -> int:
    """Number of outputs of `convolutions` in a row, on frames of `obs_shape` (H, W, C)."""
    with torch.no_grad():
        x = torch.zeros(1, obs_shape[2], obs_shape[0], obs_shape[1])
        for layer in convolutions:
            x = layer(x)
    return x.numel()


def unseen(convolutions: list[nn.Conv2d], obs_shape: tuple[int, int, int]) -> tuple[int, int]:
    """How many of a frame's last rows and columns the outputs of `convolutions` do not depend on.

    Strides that do not divide leave them over: at 64 x 64 it is 4 for both networks here, an
    eighth of the first layer's work.
    """
    left = []
    for size in obs_shape[:2]:
        last = size
        for layer in convolutions:
            last = (last - layer.kernel_size[0]) // layer.stride[0] + 1
        for layer in reversed(convolutions):
            last = (last - 1) * layer.stride[0] + layer.kernel_size[0]
        left.append(size - last)
    return left[0], left[1]
