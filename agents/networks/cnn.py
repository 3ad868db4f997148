"""Plain convolutional bodies: patches, the small CNN and the NatureCNN."""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from agents.networks.base import Body, init_relu
from agents.networks.strided import StridedConv2d

Shape = tuple[int, int, int]


class ConvBody(Body):
    """Convolutions `conv1`, `conv2`, ... and the layer `fc`, a ReLU after each.

    Strides that do not divide leave a frame's last rows and columns over (`unseen`): at 64 x 64 it
    is 4 for the small CNN and the NatureCNN, an eighth of the first layer's work.
    """

    takes_bytes = True
    sizes: ClassVar[tuple[Shape, ...]]  # of each convolution: channels, kernel, stride
    pixels: ClassVar[int] = 1  # one pixel in so many is read, in each direction

    def __init__(self, obs_shape: Shape, width: int):
        super().__init__()
        self.width = width
        channels, outputs = obs_shape[2], [-(-n // self.pixels) for n in obs_shape[:2]]
        for number, (wider, kernel, stride) in enumerate(self.sizes, start=1):
            kind = StridedConv2d if stride > 1 else nn.Conv2d
            self.add_module(f"conv{number}", kind(channels, wider, kernel, stride))
            channels, outputs = wider, [(n - kernel) // stride + 1 for n in outputs]
            if min(outputs) < 1:
                raise ValueError(f"frames of {obs_shape} are too small")
        self.fc = nn.Linear(channels * math.prod(outputs), width)
        for _, kernel, stride in reversed(self.sizes):  # back to what they depend on
            outputs = [(n - 1) * stride + kernel for n in outputs]
        outputs = [(n - 1) * self.pixels + 1 for n in outputs]
        self.unseen = (obs_shape[0] - outputs[0], obs_shape[1] - outputs[1])
        init_relu(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to features `[B, width]`."""
        if self.pixels > 1:
            x = x[:, :, :: self.pixels, :: self.pixels]
            x = x.contiguous(memory_format=torch.channels_last)
        *first, last = (getattr(self, f"conv{i}") for i in range(1, len(self.sizes) + 1))
        for convolution in first:
            x = F.relu(convolution(x))
        x = F.relu(last(x).flatten(1))  # in this order backward passes need no reordering
        return F.relu(self.fc(x))


class PatchBody(ConvBody):
    """Patches of every second pixel: 38,528 parameters at the standard frame.

    No pixel is read twice: 4 x 4 of those read make a patch, 2 x 2 patches one of the next layer
    (8 x 8 and 16 x 16 pixels of the frame), as in the first layers of vision transformers and
    ConvNeXt. What CoinRun shows is drawn in cells of about 5 pixels, so every second one tells it.
    """

    sizes = ((32, 4, 4), (32, 2, 2))
    pixels = 2
    micro_batch = 512

    def __init__(self, obs_shape: Shape = (64, 64, 3), width: int = 64):
        super().__init__(obs_shape, width)


class SmallBody(ConvBody):
    """Two convolutions and one layer: 158,896 parameters at the standard frame."""

    sizes = ((16, 8, 4), (32, 4, 2))

    def __init__(self, obs_shape: Shape = (64, 64, 3), width: int = 128):
        super().__init__(obs_shape, width)


class NatureBody(ConvBody):
    """The CNN of Mnih et al. (2015), "Human-level control through deep reinforcement learning"."""

    sizes = ((32, 8, 4), (64, 4, 2), (64, 3, 1))

    def __init__(self, obs_shape: Shape = (64, 64, 3), width: int = 512):
        super().__init__(obs_shape, width)
