"""Step sizes and the preconditioner, adapted in burn-in and then left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from rl_slt.posterior.curvature import count_rows, random_signs, row_gradients
from rl_slt.posterior.target import Preconditioner, Target
from rl_slt.samplers.base import Evaluate

LEAST_ROWS, ROWS_PER_DIRECTION = 64, 8
POWER_STEPS = 4


def top_curvature(
    evaluate: Evaluate, z: Tensor, generator: Generator, radius: float, metric: Tensor | None
) -> float:
    """Largest curvature of U over chains, by power iteration on gradient differences.

    Args:
        evaluate: the same batch at every call.
        z: positions `[C, d]`; the chain with the largest value counts.
        generator: of the first directions.
        radius: of the difference, in the sampler's coordinates.
        metric: diagonal preconditioner G `[C, d]`; the curvature is then that of
            `sqrt(G) grad^2 U sqrt(G)`.
    """
    root = torch.ones_like(z) if metric is None else metric.sqrt()
    v = torch.empty_like(z).normal_(generator=generator)
    v /= v.norm(dim=1, keepdim=True)
    norm = z.new_zeros(len(z), 1)
    for _ in range(POWER_STEPS):
        step = radius * root * v
        hv = root * (evaluate(z + step).grad - evaluate(z - step).grad) / (2 * radius)
        norm = hv.norm(dim=1, keepdim=True)
        v = torch.where(norm > 0, hv / norm.clamp(min=1e-30), v)
    return float(norm.max())


def row_curvature(target: Target, z: Tensor, generators: Sequence[Generator]) -> float:
    """Largest curvature of U at `z` `[C, d]` by score rows, for losses whose gradients are noise.

    A difference of two gradients is of the actions that came out otherwise there.
    """
    rows = fisher_rows(target, z, 2 * LEAST_ROWS, generators)
    if target.preconditioner is not None:
        rows = target.preconditioner.transpose(rows)[0]
    values, _ = leading_curvature(rows, 1)
    scale = 1.0 if target.preconditioner is not None else target.localization
    return float(target.nbeta * values[-1]) + scale


def fisher_rows(target: Target, z: Tensor, rows: int, generators: Sequence[Generator]) -> Tensor:
    """Gradients `[rows, d]` of score rows at the chains' positions, equally many from each.

    Each is of one sample, its score rows with random signs. Their second moment is the loss's
    Gauss-Newton matrix, averaged over chains, in the mean. Samples are drawn by their weights, and
    the weight then taken off: one that counts for most of the loss gets most of the rows.
    """
    w, width = target.flat.w_star + target.weights(z), count_rows(target)
    assert width is not None
    per = -(-rows // len(w))
    parts: list[Tensor] = []
    for at, generator in zip(w, generators, strict=True):
        weights = target.data.weights
        if weights is None or target.loss.sample_unit == "episode":
            index = torch.randint(target.n, (per,), generator=generator, device=target.device)
            share = None
        else:
            index = weights.multinomial(per, True, generator=generator)
            share = weights[index].rsqrt()[:, None]
        signs = random_signs(w.new_empty(per, width), generator)
        signs = signs if share is None else signs * share
        parts += row_gradients(target, index, signs, at)
    target.grads += per * len(w)
    return torch.cat(parts)


def leading_curvature(rows: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvalues `[k]` and eigenvectors `[d, k]` of `rows' rows / m`, `rows` `[m, d]`.

    In double precision on the smaller side, so that the basis is orthonormal to rounding.
    """
    m, d = rows.shape
    if m > d:
        values, vectors = torch.linalg.eigh((rows.T @ rows / m).double())
        return values[-rank:].clamp(min=0), vectors[:, -rank:].to(rows.dtype)
    values, vectors = torch.linalg.eigh((rows @ rows.T / m).double())
    values, vectors = values[-rank:], vectors[:, -rank:]
    real = values > 1e-7 * values[-1].clamp(min=1e-30)
    values, vectors = values[real], vectors[:, real]
    basis = rows.T @ (vectors / (m * values).sqrt()).to(rows.dtype)
    return values, basis


def precondition(target: Target, z: Tensor, rank: int, generators: Sequence[Generator]) -> Tensor:
    """Rebuild the target's preconditioner from the curvature at `z` `[C, d]`.

    Returns z in the new coordinates. A loss that knows no score rows, or is
    per episode, gets the localizer's width alone.
    """
    delta = target.weights(z).clone()
    scale = z.new_full((), target.width)
    basis, shrink = z.new_empty(target.dim, 0), z.new_empty(0)
    known = target.loss.sample_unit != "episode" or target.loss.plays
    if rank and known and count_rows(target) is not None:
        count = max(LEAST_ROWS, ROWS_PER_DIRECTION * rank)
        # Of a population w* is no estimate: its curvature is that of the posterior around it, and 0
        # at a singularity, where that of places around it would make every direction stiff.
        at = torch.zeros_like(z) if target.loss.population else z
        rows = target.held(fisher_rows(target, at, count, generators))
        values, basis = leading_curvature(rows, rank)
        shrink = ((1 + target.nbeta * values * target.width**2) ** -0.5).to(z.dtype)
    target.preconditioner = Preconditioner(scale, basis.contiguous(), shrink)
    return target.preconditioner.inverse(delta)


class DualAveraging:
    """Step size of a Metropolis sampler towards a wanted acceptance (Hoffman & Gelman 2014)."""

    def __init__(self, step_size: float, wanted: float) -> None:
        self.wanted, self.count, self.gap = wanted, 0, 0.0
        self.center = math.log(2 * step_size)
        self.log_mean = math.log(step_size)

    def update(self, accept: Tensor) -> float:
        """The next step to try, given the last step's acceptance probabilities `[C]`."""
        self.count += 1
        weight = 1 / (self.count + 10)
        self.gap += weight * (self.wanted - float(accept.mean()) - self.gap)
        log_step = self.center - math.sqrt(self.count) / 0.05 * self.gap
        fade = self.count**-0.75
        self.log_mean += fade * (log_step - self.log_mean)
        return math.exp(log_step)

    def final(self) -> float:
        """The step to keep after burn-in."""
        return math.exp(self.log_mean)
