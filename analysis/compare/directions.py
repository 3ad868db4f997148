"""Directions in weight space along which a checkpoint is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from rl_slt import InputError

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Direction:
    """A unit vector in weight space, or one of a known length.

    `vector` has Euclidean norm 1 over all parameters; a slice at distance d adds `d * vector`.
    `length` is the distance at which something is reached, such as another checkpoint.
    """

    name: str
    kind: str
    vector: Weights
    length: float | None = None


def random_directions(policy: torch.nn.Module, n: int, seed: int = 0) -> list[Direction]:
    """Gaussian directions, filter-normalised (Li et al. 2018, arXiv 1712.09913, section 4).

    Each filter of the direction gets the norm of the filter of the policy, so that parts whose
    scale is free under ReLU are moved in proportion; then the whole gets norm 1. A filter is a row
    of a weight matrix or an output channel of a convolution; biases stay where they are.
    """
    generator = torch.Generator().manual_seed(seed)
    out = []
    for i in range(n):
        vector = {
            name: _filter_normalised(torch.randn(w.shape, generator=generator), w)
            for name, w in weights_of(policy).items()
        }
        out.append(Direction(f"random {i + 1}", "random", _unit(vector)))
    return out


def _filter_normalised(noise: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if weight.dim() < 2:
        return torch.zeros_like(weight)
    rows, noise_rows = weight.flatten(1), noise.flatten(1).to(weight)
    scale = rows.norm(dim=1, keepdim=True) / noise_rows.norm(dim=1, keepdim=True)
    return (noise_rows * scale).view_as(weight)


def gradient(
    policy: torch.nn.Module, loss: Callable[[torch.nn.Module], torch.Tensor], name: str = "gradient"
) -> Direction:
    """The direction of steepest ascent of a loss at the policy's weights.

    Args:
        policy: left unchanged, its gradients too.
        loss: from a policy to a scalar that depends on its parameters.
        name: of the direction.

    Raises:
        InputError: if the gradient is zero, as for a loss that is at its minimum here.
    """
    named = {k: p for k, p in policy.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss(policy), list(named.values()), allow_unused=True)
    vector = {
        k: torch.zeros_like(p) if g is None else g.detach()
        for (k, p), g in zip(named.items(), grads, strict=True)
    }
    if not _norm(vector) > 0:
        raise InputError("the loss has gradient zero at these weights: there is no direction of it")
    return Direction(name, "gradient", _unit(vector))


def between(policy: torch.nn.Module, other: torch.nn.Module, name: str = "between") -> Direction:
    """From one policy to another of the same shape; `length` is their distance.

    Raises:
        InputError: if their parameters differ in name or shape, or they are equal.
    """
    a, b = weights_of(policy), weights_of(other)
    if {k: w.shape for k, w in a.items()} != {k: w.shape for k, w in b.items()}:
        raise InputError("the two policies have parameters of different names or shapes")
    vector = {k: b[k].to(a[k]) - a[k] for k in a}
    length = _norm(vector)
    if length == 0:
        raise InputError("the two policies have equal weights: there is no direction between them")
    return Direction(name, "between", _unit(vector), length)


def weights_of(policy: torch.nn.Module) -> Weights:
    """Copies of the trainable parameters by name."""
    return {k: p.detach().clone() for k, p in policy.named_parameters() if p.requires_grad}


def _unit(vector: Weights) -> Weights:
    norm = _norm(vector)
    return {name: part / norm for name, part in vector.items()}


def _norm(vector: Weights) -> float:
    squares: Iterable[float] = (float(part.double().square().sum()) for part in vector.values())
    return float(sum(squares) ** 0.5)
