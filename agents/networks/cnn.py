"""Plain convolutional bodies: patches, the small CNN and the NatureCNN."""

import math
from itertools import accumulate
from operator import mul
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from agents.networks.base import Body, init_relu
from agents.networks.strided import StridedConv2d, compute_dtype

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
        self.obs_shape = tuple(obs_shape)
        self.order = patch_order(obs_shape, self.unseen, [k for _, k, _ in self.sizes], self.pixels)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Frames uint8 `[B, H, W, C]` to features float `[B, width]`."""
        if torch.is_inference_mode_enabled() and self._is_known(obs):
            return self.read_features(self.read(obs))  # nothing is differentiated or traced
        return super().forward(obs)

    def _is_known(self, obs: torch.Tensor) -> bool:
        """Whether frames and layers are those that `read_features` is made for."""
        frames = obs.dtype == torch.uint8 and (*obs.shape[1:],) == self.obs_shape
        if not (frames and len(obs) and all(map(is_plain, self.modules()))):
            return False
        for number, (_, kernel, stride) in enumerate(self.sizes, start=1):
            layer = getattr(self, f"conv{number}")
            if (layer.kernel_size, layer.stride) != ((kernel,) * 2, (stride,) * 2):
                return False
        return True

    def read(self, obs: torch.Tensor) -> torch.Tensor:
        """The bytes that are read of each frame, patch by patch, `[B, R]`."""
        if obs.device.type != "cpu":
            return obs.flatten(1)[:, torch.from_numpy(self.order).to(obs.device)]
        return torch.from_numpy(obs.flatten(1).numpy().take(self.order, axis=1))

    def read_features(self, read: torch.Tensor) -> torch.Tensor:
        """As `forward` of the frames: in this order each layer is one product of matrices.

        A training step takes half the time that convolutions take on a CPU.
        """
        x = read.to(compute_dtype(read))
        scale = 1.0 / 255.0 if self.scaled else 1.0
        for number in range(1, len(self.sizes) + 1):
            layer = getattr(self, f"conv{number}")
            kernel = layer.weight.permute(0, 2, 3, 1).flatten(1) * scale
            x = F.linear(x.reshape(-1, kernel.shape[1]), kernel, layer.bias).relu_()
            scale = 1.0
        channels_last = self.fc.weight.unflatten(1, (x.shape[1], -1)).transpose(1, 2).flatten(1)
        return F.linear(x.reshape(len(read), -1), channels_last, self.fc.bias).relu_()


def is_plain(layer: nn.Module) -> bool:
    """Whether calling the layer does what its class says: nobody watches or has changed it."""
    known = type(layer) in (PatchBody, StridedConv2d, nn.Linear)
    own = known and not {"forward", "features"} & vars(layer).keys()
    hooks = layer._forward_hooks, layer._forward_pre_hooks
    return own and not any((*hooks, _global_forward_hooks, _global_forward_pre_hooks))


def patch_order(
    obs_shape: Shape, unseen: tuple[int, int], kernels: list[int], pixels: int
) -> np.ndarray:
    """Where in a frame's bytes those lie that are read, patch by patch, `[R]`.

    Patches that make one patch of the next layer follow one another, in rows from the top left;
    so do the pixels of a patch and the channels of a pixel.
    """
    height, width, _ = obs_shape
    where = np.arange(math.prod(obs_shape)).reshape(1, *obs_shape)
    where = where[:, : height - unseen[0] : pixels, : width - unseen[1] : pixels]
    for size in reversed(list(accumulate(kernels, mul))):  # from large patches to small ones
        patches, rows, columns, channels = where.shape
        cut = where.reshape(patches, rows // size, size, columns // size, size, channels)
        where = cut.swapaxes(2, 3).reshape(-1, size, size, channels)
    return where.reshape(-1)


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
