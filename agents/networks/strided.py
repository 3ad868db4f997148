"""A strided convolution whose input gradient is cheaper on a CPU."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class StridedConv2d(nn.Conv2d):
    """An `nn.Conv2d` in all respects; while `fast_gradient` is set, its backward pass is our own.

    The flag is set where float32 networks are trained on a CPU. Everyone else (hooks, transforms,
    second derivatives, mixed precision) gets PyTorch's convolution.
    """

    fast_gradient = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images `[B, C, H, W]` to images `[B, O, (H - K) // S + 1, (W - K) // S + 1]`."""
        if not self.fast_gradient or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        out: torch.Tensor = _Strided.apply(x, self.weight, self.bias, self.stride[0])
        return out


class _Strided(torch.autograd.Function):
    """A convolution without padding whose kernel is a whole number of strides wide."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, bias, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        stride = [ctx.stride] * 2
        _, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            grad, x, weight, [len(weight)], stride, [0, 0], [1, 1], False, [0, 0], 1,
            [False, ctx.needs_input_grad[1], ctx.needs_input_grad[2]],
        )  # fmt: skip
        grad_x = (
            input_gradient(grad, weight, ctx.stride, x.shape) if ctx.needs_input_grad[0] else None
        )
        return grad_x, grad_weight, grad_bias, None


def input_gradient(
    grad: torch.Tensor, weight: torch.Tensor, stride: int, shape: torch.Size
) -> torch.Tensor:
    """The gradient of a convolution's input, as a convolution without a stride.

    The inputs (S i + a, S j + b) of one phase (a, b) meet the same part of the kernel everywhere:

        dx[S i + a, S j + b] = sum_{u, v} dy[i - u, j - v] w[S u + a, S v + b]

    so all phases together are a convolution of dy with S * S * C output channels.

    Args:
        grad: dy, `[B, O, P, Q]`.
        weight: w, `[O, C, M S, M S]`.
        stride: S.
        shape: of the input, `[B, C, H, W]`.
    """
    outputs, channels, size, _ = weight.shape
    reach = size // stride
    phases = weight.reshape(outputs, channels, reach, stride, reach, stride)
    kernel = phases.permute(3, 5, 1, 0, 2, 4).reshape(-1, outputs, reach, reach).flip(2, 3)
    blocks = F.conv2d(grad, kernel.contiguous(memory_format=torch.channels_last), padding=reach - 1)
    batch, _, rows, columns = blocks.shape
    pixels = blocks.permute(0, 2, 3, 1).reshape(batch, rows, columns, stride, -1).transpose(2, 3)
    dense = pixels.reshape(batch, rows * stride, columns * stride, channels)
    below, right = shape[2] - rows * stride, shape[3] - columns * stride
    if below or right:  # pixels that no kernel reaches
        dense = F.pad(dense, (0, 0, 0, right, 0, below))
    return dense.permute(0, 3, 1, 2)
