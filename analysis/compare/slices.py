"""Loss and return along lines through a checkpoint's weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rl_slt import InputError

Weights = dict[str, torch.Tensor]
# A number, or a number with the ends of its 95 % interval.
Value = float | tuple[float, float, float]
Measure = Callable[[torch.nn.Module], Value]


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
    """Gaussian directions, filter-normalized (Li et al. 2018, arXiv 1712.09913, section 4).

    Each filter of the direction gets the norm of the filter of the policy, so that parts whose
    scale is free under ReLU are moved in proportion; then the whole gets norm 1. A filter is a row
    of a weight matrix or an output channel of a convolution; biases stay where they are.

    Args:
        policy: around whose weights the directions are taken.
        n: directions.
        seed: of them.
    """
    generator = torch.Generator().manual_seed(seed)
    out = []
    for i in range(n):
        vector: Weights = {}
        for name, w in weights_of(policy).items():
            noise = torch.randn(w.shape, generator=generator)
            if w.dim() < 2:
                vector[name] = torch.zeros_like(w)
                continue
            rows = noise.flatten(1).to(w)
            scale = w.flatten(1).norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True)
            vector[name] = (rows * scale).view_as(w)
        out.append(Direction(f"random {i + 1}", "random", _unit(vector, norm_of(vector))))
    return out


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
    grads = torch.autograd.grad(
        loss(policy), list(named.values()), allow_unused=True, materialize_grads=True
    )
    vector = {k: g.detach() for k, g in zip(named, grads, strict=True)}
    norm = norm_of(vector)
    if not norm > 0:
        raise InputError("the loss has gradient zero at these weights: there is no direction of it")
    return Direction(name, "gradient", _unit(vector, norm))


def between(policy: torch.nn.Module, other: torch.nn.Module, name: str = "between") -> Direction:
    """From one policy to another of the same shape; `length` is their distance.

    Raises:
        InputError: if their parameters differ in name or shape, or they are equal.
    """
    a, b = weights_of(policy), weights_of(other)
    if {k: w.shape for k, w in a.items()} != {k: w.shape for k, w in b.items()}:
        raise InputError("the two policies have parameters of different names or shapes")
    vector = {k: b[k].to(a[k]) - a[k] for k in a}
    length = norm_of(vector)
    if length == 0:
        raise InputError("the two policies have equal weights: there is no direction between them")
    return Direction(name, "between", _unit(vector, length), length)


def weights_of(policy: torch.nn.Module) -> Weights:
    """Copies of the trainable parameters by name."""
    return {k: p.detach().clone() for k, p in policy.named_parameters() if p.requires_grad}


def norm_of(vector: Weights) -> float:
    """Euclidean norm over all parts."""
    return float(sum(float(part.double().square().sum()) for part in vector.values()) ** 0.5)


def _unit(vector: Weights, norm: float) -> Weights:
    return {name: part / norm for name, part in vector.items()}


def take_slices(
    policy: torch.nn.Module,
    directions: Sequence[Direction],
    measures: Mapping[str, Measure],
    *,
    radius: float,
    points: int = 21,
    beyond: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measures at evenly spaced weights on each line through the policy.

    Args:
        policy: left unchanged; every measure sees a copy in eval mode.
        directions: lines through the policy.
        measures: by name, functions of a policy: a loss on fixed states, or the return of
            rollouts (with its interval). Give them fixed seeds, so that neighboring
            points differ by weights alone.
        radius: largest distance either way, in Euclidean weight distance, for directions without
            a length; those with one run from `-beyond` to `1 + beyond` lengths.
        points: per line; distance 0 is always one of them, and so is the length.
        beyond: share of the length that the line is followed past either end.
        progress: called with (points done, points in all).

    Returns:
        Columns direction, kind, distance, fraction (of the length; NaN without one), measure,
        value, ci_low, ci_high (NaN where the measure gives none).

    Raises:
        InputError: for a radius that is not positive, or fewer than 3 points.
    """
    if not (radius > 0 and math.isfinite(radius)):
        raise InputError.of("radius", radius, "a finite number above 0")
    if points < 3:
        raise InputError.of("points", points, "at least 3")
    moved = copy.deepcopy(policy).eval().requires_grad_(False)
    center = weights_of(policy)
    lines = [(d, _distances(d, radius, points, beyond)) for d in directions]
    total, done = sum(len(distances) for _, distances in lines), 0
    rows: list[tuple[object, ...]] = []
    for line, distances in lines:
        for distance in distances:
            for name, parameter in moved.named_parameters():
                if name in line.vector:
                    parameter.copy_(center[name] + distance * line.vector[name])
            fraction = math.nan if line.length is None else distance / line.length
            for name, measure in measures.items():
                result = measure(moved)
                found = result if isinstance(result, tuple) else (result, math.nan, math.nan)
                rows.append((line.name, line.kind, distance, fraction, name, *map(float, found)))
            done += 1
            if progress is not None:
                progress(done, total)
    names = ["direction", "kind", "distance", "fraction", "measure", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names)


def _distances(direction: Direction, radius: float, points: int, beyond: float) -> list[float]:
    """Evenly spaced ones, with 0 and the length instead of what lies within rounding of them."""
    if direction.length is None:
        line, kept = np.linspace(-radius, radius, points), [0.0]
    else:
        line = np.linspace(-beyond, 1 + beyond, points) * direction.length
        kept = [0.0, direction.length]
    gap = float(line[1] - line[0])
    far = [float(x) for x in line if all(abs(x - k) > 1e-6 * gap for k in kept)]
    return sorted([*far, *kept])
