"""The localised tempered posterior around a checkpoint, as energy and gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from rl_slt.flat import FlatPolicy
from rl_slt.losses.base import Loss, Policy
from rl_slt.policy_data import PolicyData
from rl_slt.units import Units
from rl_slt.whitening import Whitening

CHUNK = 512
BATCHED_LIMIT = 50_000


class Evaluation(NamedTuple):
    """One evaluation of all chains: `[C]` each, and the gradient `[C, d]`.

    Attributes:
        loss: mean loss over the batch.
        start: mean loss at w* over the same batch (0 for a self-KL).
        energy: U, double precision.
        grad: gradient of U in the sampler's coordinates.
        prior: `(gamma / 2) |w - w*|^2`.
        virial: `(w - w*) . grad U`, whose mean is d under the exact posterior.
    """

    loss: Tensor
    start: Tensor
    energy: Tensor
    grad: Tensor
    prior: Tensor
    virial: Tensor


class Target:
    """`U(w) = nbeta L_n(w) + (gamma / 2) |w - w*|^2`, minus the log of what is sampled.

    Samplers see coordinates z with `w = w* + T z`, T a fixed linear map (`whitening`; the identity
    unless one was made). A fixed T needs no correction term: it is a change of coordinates, and
    the same as preconditioning by `T T'`. All chains are evaluated together: positions `[C, d]`.

    Attributes:
        dim: d, the number of free parameters.
        nbeta: n times beta, the inverse temperature times the number of samples.
        localization: gamma, per squared unit of weight.
        grads: sample gradients spent so far.
    """

    def __init__(
        self, flat: FlatPolicy, data: PolicyData, loss: Loss, nbeta: float, localization: float
    ) -> None:
        self.flat, self.data, self.loss = flat, data, loss
        self.nbeta, self.localization = nbeta, localization
        self.units = Units(data, loss.unit)
        self.whitening: Whitening | None = None
        self.grads = 0
        self.start_losses = self._losses_at_start()
        self._batched = loss.batched and self.dim <= BATCHED_LIMIT and not _has_conv(flat)

    @property
    def dim(self) -> int:
        return len(self.flat.start)

    @property
    def n(self) -> int:
        """How many samples (states or episodes) the data hold."""
        return self.units.n

    def weights(self, z: Tensor) -> Tensor:
        """`w - w*` `[C, d]` of coordinates `z` `[C, d]`."""
        return z if self.whitening is None else self.whitening.forward(z)

    def coordinates(self, delta: Tensor) -> Tensor:
        """Z `[C, d]` of `w - w*` `[C, d]`."""
        return delta if self.whitening is None else self.whitening.inverse(delta)

    def evaluate(
        self, z: Tensor, index: Sequence[Tensor | None], generators: Sequence[Generator]
    ) -> Evaluation:
        """Loss over each chain's batch and gradient of U in z.

        Args:
            z: `[C, d]`.
            index: per chain, the samples of its batch, or None for all data.
            generators: per chain, for losses that redraw.
        """
        delta = self.weights(z)
        w = self.flat.start + delta
        loss, grad, start = self._loss_grad(w, index, generators)
        pull = self.localization * delta
        grad_w = grad.mul_(self.nbeta).add_(pull)
        virial = (delta * grad_w).sum(-1)
        grad_z = grad_w if self.whitening is None else self.whitening.transpose(grad_w)
        prior = 0.5 * (pull * delta).sum(-1)
        energy = self.nbeta * loss.double() + prior.double()
        return Evaluation(loss, start, energy, grad_z, prior, virial)

    def _loss_grad(
        self, w: Tensor, index: Sequence[Tensor | None], generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self._batched and all(i is not None for i in index) and len(w) > 1:
            return self._together(w, [i for i in index if i is not None], generators)
        grad = torch.empty_like(w)
        losses, starts = [], []
        for c, (i, generator) in enumerate(zip(index, generators, strict=True)):
            loss, start = self._one(w[c], i, generator, grad[c])
            losses.append(loss)
            starts.append(start)
        return torch.stack(losses), grad, torch.stack(starts)

    def _one(
        self, w: Tensor, index: Tensor | None, generator: Generator, out: Tensor
    ) -> tuple[Tensor, Tensor]:
        if index is not None:
            batch = self.loss.refresh(self.units.take(index), generator)
            self.grads += len(index)
            value = self.flat.value_and_grad(lambda p: self.loss(p, batch), w, out)
            return value, self._start(batch, index)
        loss = start = torch.zeros((), dtype=w.dtype)
        part = torch.empty_like(out)
        out.zero_()
        for ids in torch.arange(self.n).split(CHUNK):
            batch = self.loss.refresh(self.units.take(ids), generator)
            value = self.flat.value_and_grad(lambda p, b=batch: self.loss(p, b), w, part)  # type: ignore[misc]
            share = len(ids) / self.n
            loss, start = loss + share * value, start + share * self._start(batch, ids)
            out.add_(part, alpha=share)
        self.grads += self.n
        return loss, start

    def _together(
        self, w: Tensor, index: Sequence[Tensor], generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        batches = [
            self.loss.refresh(self.units.take(i), g) for i, g in zip(index, generators, strict=True)
        ]
        fields = [b.tensors() for b in batches]
        stacked = {k: torch.stack([f[k] for f in fields]) for k in fields[0]}
        loss, grad = self.flat.batched_value_and_grad(self._loss_of_fields, w, stacked)
        self.grads += sum(len(i) for i in index)
        starts = [self._start(b, i) for b, i in zip(batches, index, strict=True)]
        return loss, grad, torch.stack(starts)

    def _start(self, batch: PolicyData, index: Tensor) -> Tensor:
        """Mean loss at w* over a batch: the control variate whose mean over batches is loss_init."""
        redrawn = self.loss.start_loss(batch)
        return (self.start_losses[index] if redrawn is None else redrawn).mean()

    def _losses_at_start(self) -> Tensor:
        """Per-sample losses `[n]` at w*, exact zeros where the loss is zero there by definition."""
        if self.loss.zero_at_start:
            return torch.zeros(self.n, dtype=self.flat.start.dtype)
        module = self.flat.load(self.flat.start)
        with torch.no_grad():
            parts = [
                self.loss(module, self.units.take(ids)) for ids in torch.arange(self.n).split(CHUNK)
            ]
        return torch.cat(parts)

    def _loss_of_fields(self, policy: Policy, batch: dict[str, Tensor]) -> Tensor:
        return self.loss(policy, PolicyData.trusted(batch))


def _has_conv(flat: FlatPolicy) -> bool:
    """Whether chains are better run apart: batched convolutions are slow on a CPU."""
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in flat.module.modules())
