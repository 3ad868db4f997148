"""Bodies over the planes of a gridworld: one layer, and a small convolutional network."""

import math

import torch
from torch import nn

from agents.networks.base import Body

Shape = tuple[int, int, int]  # planes, rows, columns


class GridBody(Body):
    """From planes, flat `[..., F]` in any number type, to features `[..., width]`.

    They and the heads on them begin as torch makes them: what is learned first depends on it.
    """

    frames = False
    orthogonal = False
    fc: nn.Linear

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Planes `[..., F]` to features `[..., width]`."""
        return self.features(obs.to(self.fc.weight.dtype))

    def read(self, obs: torch.Tensor) -> torch.Tensor:
        """The planes as bytes, a quarter of the memory."""
        return obs.to(torch.uint8)


class MLPBody(GridBody):
    """One layer of tanh: with 32 units and a policy head 1,764 weights on the open 5 x 5 grid."""

    def __init__(self, obs_shape: Shape = (2, 5, 5), width: int = 32):
        super().__init__()
        self.width = width
        self.fc = nn.Linear(math.prod(obs_shape), width)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Planes `[..., F]` to features `[..., width]`."""
        return self.fc(x).tanh()


class GridConvBody(GridBody):
    """Two 3 x 3 convolutions that keep the grid's size and a layer, a ReLU after each."""

    def __init__(self, obs_shape: Shape = (2, 5, 5), width: int = 32, channels: int = 8):
        super().__init__()
        self.shape, self.width = tuple(obs_shape), width
        self.conv1 = nn.Conv2d(obs_shape[0], channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fc = nn.Linear(channels * obs_shape[1] * obs_shape[2], width)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Planes `[..., F]` to features `[..., width]`."""
        images = x.reshape(-1, *self.shape)
        images = self.conv2(self.conv1(images).relu()).relu()
        return self.fc(images.flatten(1)).relu().reshape(*x.shape[:-1], self.width)
