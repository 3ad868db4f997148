"""All chains' losses and gradients in one graph of batched matrix products."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from rl_slt.flat import FlatPolicy
from rl_slt.losses.base import Loss
from rl_slt.policy_data import PolicyData

Fields = dict[str, Tensor]
TRACE_ERRORS = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError)


class BatchedGradient:
    """Mean losses `[C]` and gradients `[C, d]` of C chains at once.

    The vmapped gradient is traced once per shape into a plain graph of tensor operations: what
    `torch.func` costs per call is then paid once. A traced graph fixes Python control flow, so it
    is used only after it agreed with the plain path on other weights and another batch.
    """

    def __init__(self, flat: FlatPolicy, loss: Loss) -> None:
        self.flat, self.loss = flat, loss
        self._graphs: dict[Any, Callable[..., tuple[Tensor, Tensor]]] = {}

    def __call__(self, w: Tensor, batch: Fields, shared: bool) -> tuple[Tensor, Tensor]:
        """Losses and gradients at `w` `[C, d]`.

        Args:
            w: positions.
            batch: fields `[C, B, ...]`, or `[B, ...]` when all chains share them.
            shared: which of the two.
        """
        tensors = tuple(batch.values())
        key = (shared, len(w), tuple(batch), tuple(t.shape for t in tensors))
        if key not in self._graphs:
            self._graphs[key] = self._trace(w, batch, shared)
        grads, values = self._graphs[key](w, *tensors)
        return values, grads

    def agrees(self, w: Tensor, batch: Fields) -> bool:
        """Whether the graph can be made and gives the plain path's answer at `w` and elsewhere.

        Args:
            w: `[C, d]`, different chains.
            batch: fields `[C, B, ...]`.
        """
        try:
            flipped = {k: v.flip(1) for k, v in batch.items()}
            self(w, batch, shared=False)
            losses, grads = self(w.flip(0), flipped, shared=False)
        except TRACE_ERRORS:
            return False
        plain = torch.empty_like(grads)
        for c in range(len(w)):
            fields = PolicyData.trusted({k: v[c] for k, v in flipped.items()})
            value = self.flat.value_and_grad(
                lambda p, f=fields: self.loss(p, f),  # type: ignore[misc]
                w.flip(0)[c],
                plain[c],
            )
            if not torch.allclose(value, losses[c], rtol=1e-3, atol=1e-5):
                return False
        return torch.allclose(plain, grads, rtol=1e-2, atol=1e-4 * float(1 + plain.abs().max()))

    def _trace(self, w: Tensor, batch: Fields, shared: bool) -> Callable[..., Any]:
        names = tuple(batch)

        def one(w: Tensor, *tensors: Tensor) -> Tensor:
            data = PolicyData.trusted(dict(zip(names, tensors, strict=True)))
            return self.loss(self.flat.as_function(w), data).mean()

        in_dims = (0, *[None if shared else 0] * len(names))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.fx warns of its own internals
            graph = make_fx(vmap(grad_and_value(one), in_dims=in_dims))(w, *batch.values())
        forward: Callable[..., Any] = torch.no_grad()(graph.forward)
        return forward


def has_conv(module: nn.Module) -> bool:
    """Whether chains are better run apart: batched convolutions are slow on a CPU."""
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in module.modules())
