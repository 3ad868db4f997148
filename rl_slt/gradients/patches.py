"""Convolutions whose patches do not overlap, as the matrix products that they are.

A kernel as wide as its stride reads each pixel once, so that its patches are the rows of a matrix
and nothing is read twice. One product takes the place of a convolution: of all chains or of single
samples that is one batched product, where batched convolutions are slow on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class patches_as_rows(TorchFunctionMode):  # a context
    """Inside, convolutions of patches that do not overlap are products of matrices.

    And tensors are stored in the order of their dimensions: `torch.func.vmap` knows no other.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.contiguous:
            return args[0].contiguous()
        if func is F.conv2d:
            return _conv2d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    rows, columns = weight.shape[2:]
    if x.ndim != 4 or not _apart((rows, columns), stride, padding, dilation, groups):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    h, w = x.shape[2] // rows, x.shape[3] // columns
    x = x[:, :, : h * rows, : w * columns].permute(0, 2, 3, 1)
    patches = x.unflatten(2, (w, columns)).unflatten(1, (h, rows)).transpose(2, 3)
    out = patches.flatten(3).flatten(0, 2) @ weight.permute(2, 3, 1, 0).flatten(0, 2)
    out = out if bias is None else out + bias
    return out.unflatten(0, (-1, h, w)).permute(0, 3, 1, 2)


def overlaps(module: nn.Module) -> bool:
    """Whether some convolution is more than a product of matrices."""
    return any(
        not (
            isinstance(m, nn.Conv2d)
            and m.padding_mode == "zeros"
            and _apart(m.kernel_size, m.stride, m.padding, m.dilation, m.groups)
        )
        for m in module.modules()
        if isinstance(m, nn.modules.conv._ConvNd)
    )


def _apart(kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether each pixel is in one patch at most."""
    pairs = [x if isinstance(x, str) else (x, x) if isinstance(x, int) else tuple(x)
             for x in (stride, padding, dilation)]  # fmt: skip
    return groups == 1 and pairs in ([tuple(kernel), none, (1, 1)] for none in ((0, 0), "valid"))
