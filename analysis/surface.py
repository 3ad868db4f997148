"""Reward surfaces: what a policy earns on a plane through its weights, and where it falls off.

    w(a, b) = w* + |w*| (a g / |g| + b r / |r|)

g is the policy gradient and r a random direction, filter-normalized: each row of a weight, and each
vector, has the norm of what it is added to (Li et al. 2018, arXiv 1712.09913), so that |r| = |w*|.
Both axes are then in norms of the weights. The planes and the rule for cliffs are those of Sullivan
et al. 2022 (arXiv 2205.07015), whose gradient has a scale of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor, nn

DROP, SHARE = 0.5, 0.25  # of the return before, and of the range of all returns
COARSE, FINE = 10, 10  # steps of a line, and of the first of them
Measure = Callable[[nn.Module], Mapping[str, float]]


def random_direction(policy: nn.Module, seed: int) -> Tensor:
    """A filter-normalized random direction `[d]`, in the order of the policy's parameters.

    Args:
        policy: whose weights give the norm of each filter.
        seed: of the direction.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for weight in policy.parameters():
        rows = weight.detach().reshape(len(weight) if weight.ndim > 1 else 1, -1)
        noise = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(rows)
        parts.append((noise * (rows.norm(dim=1) / noise.norm(dim=1))[:, None]).flatten())
    return torch.cat(parts)


def along(
    policy: nn.Module, directions: Sequence[Tensor], offsets: ArrayLike, measure: Measure
) -> pd.DataFrame:
    """What is measured of a policy at points around its weights; the policy is left unchanged.

    Args:
        policy: at w*.
        directions: K vectors `[d]`, each scaled to the norm of w*.
        offsets: `[N, K]`, along each direction, in norms of w*.
        measure: numbers of a policy, by name.

    Returns:
        A row for each point: x0, x1, ... and what was measured.
    """
    moved = copy.deepcopy(policy)
    weights = [w.detach() for w in policy.parameters()]
    center = torch.cat([w.reshape(-1) for w in weights])
    axes = torch.stack([d / d.norm() * center.norm() for d in directions])
    rows = []
    with torch.no_grad():
        for at in np.asarray(offsets, float):
            shift = torch.from_numpy(at).to(axes) @ axes
            parts = (center + shift).split([w.numel() for w in weights])
            for weight, part in zip(moved.parameters(), parts, strict=True):
                weight.copy_(part.view(weight.shape))
            rows.append({f"x{k}": x for k, x in enumerate(at)} | dict(measure(moved)))
    return pd.DataFrame(rows)


def line(reach: float) -> np.ndarray:
    """Offsets of a line from 0 to `reach`: ten steps, the first in ten fine ones.

    Args:
        reach: the largest offset.
    """
    step = reach / COARSE
    return np.concatenate([[0.0], step * np.arange(1, FINE + 1) / FINE,
                           step * np.arange(2, COARSE + 1)])  # fmt: skip


def plane(reach: float, points: int) -> np.ndarray:
    """Offsets `[points^2, 2]` of a square from `-reach` to `reach` along both directions.

    Args:
        reach: largest offset along each direction, either way.
        points: along each side.
    """
    x = np.linspace(-reach, reach, points)
    return np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)


@dataclass(frozen=True)
class Cliff:
    """A fall of the return along a line, from one offset to another.

    Attributes:
        start: offset at which the fall begins, in the line's unit.
        end: offset at which it ends.
        fall: of the return, in the game's units.
    """

    start: float
    end: float
    fall: float


def find_cliffs(
    offsets: ArrayLike, returns: ArrayLike, spread: float | None = None
) -> tuple[Cliff, ...]:
    """The cliffs on a line, by the rule of Sullivan et al. 2022 (their `compute_cliff.py`).

    The return at a step is at most half of that one step before, or two steps before, and the fall
    is more than a quarter of the range of all returns. The fine points in the first step are not
    steps of their own.

    Args:
        offsets: of `line`.
        returns: there, not negative.
        spread: range of the returns on all lines looked at; None is that of this one.

    Returns:
        Those apart from each other, each with the shorter of the two falls that make it one.
    """
    keep = [0, *range(FINE, np.size(offsets))]
    x, z = np.asarray(offsets, float)[keep], np.asarray(returns, float)[keep]
    spread = float(np.ptp(returns)) if spread is None else spread
    found: list[Cliff] = []
    for i in range(1, len(z)):
        for before in (i - 1, max(0, i - 2)):
            if found and x[before] < found[-1].end:
                continue  # the same cliff
            if z[i] <= DROP * z[before] and z[before] - z[i] > SHARE * spread:
                found.append(Cliff(float(x[before]), float(x[i]), float(z[before] - z[i])))
                break
    return tuple(found)


def agreement(gradients: Tensor) -> tuple[float, float]:
    """Cosine between gradients of batches, and by it that of their mean to the true gradient.

    With independent noise of one size the mean of k batches whose cosine is c has the cosine
    `sqrt(k c / (1 + (k - 1) c))` to the true gradient (Spearman & Brown 1910).

    Args:
        gradients: `[k, d]`, k at least 2.

    Returns:
        Mean cosine over pairs, and that of the mean; 0 where the first is not above 0.
    """
    unit = gradients.double() / gradients.double().norm(dim=1, keepdim=True)
    k = len(unit)
    cosine = float(((unit @ unit.T).sum() - k) / (k * (k - 1)))
    return cosine, float(np.sqrt(k * cosine / (1 + (k - 1) * cosine))) if cosine > 0 else 0.0


def draw_surfaces(
    planes: Mapping[str, pd.DataFrame], lines: Mapping[str, pd.DataFrame],
    cliffs: Mapping[str, Sequence[Cliff]], labels: Mapping[str, str],
) -> Figure:  # fmt: skip
    """A row for each checkpoint: a plane of each measure, and the return along the gradient.

    Args:
        planes: of `along` on `plane`, by the checkpoint's title; x0 is the gradient. May be empty.
        lines: of `along` on `line`, with columns ret and ret_stderr.
        cliffs: on these lines.
        labels: columns of planes to show, and what they are called.
    """
    # Lines alone stand three in a row.
    columns = len(labels) + 1 if labels else min(3, len(lines))
    rows = len(lines) if labels else -(-len(lines) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    last = panels[:, -1] if labels else panels.flat
    for row, (title, table) in zip(panels, planes.items(), strict=False):
        for axes, (column, label) in zip(row, labels.items(), strict=False):
            grid = table.pivot(index="x1", columns="x0", values=column)
            image = axes.pcolormesh(grid.columns, grid.index, grid.to_numpy(float), cmap="viridis")
            axes.plot(0, 0, "r+", ms=9)
            axes.set(xlabel="along the policy gradient", ylabel="along a random direction",
                     title=f"{title}: {label}")  # fmt: skip
            figure.colorbar(image, ax=axes)
    for axes, (title, one) in zip(last, lines.items(), strict=False):
        axes.errorbar(one["x0"], one["ret"], one["ret_stderr"], fmt="o-", ms=3)
        for cliff in cliffs[title]:
            axes.axvspan(cliff.start, cliff.end, color="C3", alpha=0.25)
        axes.set(xlabel="along the policy gradient", ylabel="return",
                 title=f"{title}: cliffs: {len(cliffs[title])}")  # fmt: skip
    for axes in panels.flat:
        axes.title.set_fontsize(9)
    return figure
