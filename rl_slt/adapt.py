"""Step sizes and whitening, adapted in burn-in and then left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate
from rl_slt.target import Target
from rl_slt.whitening import Whitening

ROWS = 512
POWER_STEPS = 6


def top_curvature(evaluate: Evaluate, z: Tensor, generator: Generator, radius: float) -> float:
    """Largest curvature of U over chains, by power iteration on gradient differences.

    `evaluate` must use the same batch at every call. The radius of the difference is in the
    sampler's coordinates; the chain with the largest value counts.
    """
    v = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    v /= v.norm(dim=1, keepdim=True)
    for _ in range(POWER_STEPS):
        up, down = evaluate(z + radius * v).grad, evaluate(z - radius * v).grad
        hv = (up - down) / (2 * radius)
        norm = hv.norm(dim=1, keepdim=True)
        v = torch.where(norm > 0, hv / norm, v)
    return float(norm.max())


def fisher_rows(target: Target, z: Tensor, rows: int, generators: Sequence[Generator]) -> Tensor:
    """Per-sample score gradients `[rows, d]` at the chains' positions, equally many from each.

    Their second moment is the loss's Gauss-Newton matrix, averaged over chains.
    """
    w = target.flat.start + target.weights(z)
    per = rows // len(w)
    out = torch.empty(per * len(w), target.dim, dtype=w.dtype)
    for c, generator in enumerate(generators):
        module = target.flat.load(w[c])
        index = torch.randint(target.n, (per,), generator=generator)
        for k in range(0, per, 32):
            batch = target.units.take(index[k : k + 32])
            score = target.loss.score(module, batch, generator)
            assert score is not None
            target.flat.row_grads(score, out[c * per + k : c * per + k + len(score)])
    target.grads += len(out)
    return out


def whiten(target: Target, z: Tensor, rank: int, generators: Sequence[Generator]) -> Tensor:
    """Rebuild the target's whitening from the curvature at `z`; returns z in new coordinates."""
    delta = target.weights(z).clone()
    rows = fisher_rows(target, z, max(ROWS, 4 * rank), generators)
    m, scale = len(rows), 1 / math.sqrt(target.localization)
    if m <= target.dim:
        values, vectors = torch.linalg.eigh((rows @ rows.T / m).double())
        keep = slice(-rank, None)
        values, vectors = values[keep].clamp(min=1e-12), vectors[:, keep]
        basis = rows.T @ (vectors / (m * values).sqrt()).to(z.dtype)
    else:
        values, vectors = torch.linalg.eigh((rows.T @ rows / m).double())
        values, basis = values[-rank:].clamp(min=0), vectors[:, -rank:].to(z.dtype)
    shrink = (1 + target.nbeta * values / target.localization) ** -0.5
    target.whitening = Whitening(
        torch.tensor(scale, dtype=z.dtype), basis.contiguous(), shrink.to(z.dtype)
    )
    return target.coordinates(delta)


class DualAveraging:
    """Step size of a Metropolis sampler towards a wanted acceptance (Hoffman & Gelman 2014)."""

    def __init__(self, step_size: float, wanted: float) -> None:
        self.wanted, self.count, self.gap = wanted, 0, 0.0
        self.center = math.log(10 * step_size)
        self.log_mean = math.log(step_size)
        self.value = step_size

    def update(self, accept: Tensor) -> float:
        """The next step to try, given the last step's acceptance probabilities `[C]`."""
        self.count += 1
        weight = 1 / (self.count + 10)
        self.gap += weight * (self.wanted - float(accept.mean()) - self.gap)
        log_step = self.center - math.sqrt(self.count) / 0.05 * self.gap
        fade = self.count**-0.75
        self.log_mean += fade * (log_step - self.log_mean)
        self.value = math.exp(log_step)
        return self.value

    def final(self) -> float:
        """The step to keep after burn-in."""
        return math.exp(self.log_mean)
