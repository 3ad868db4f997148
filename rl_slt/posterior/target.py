"""The localized tempered posterior around a checkpoint, as energy and gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples, distinct
from rl_slt.gradients.flat import FlatPolicy
from rl_slt.gradients.patches import overlaps
from rl_slt.gradients.precision import in_bfloat16
from rl_slt.gradients.traced import TracedGradient, has_conv
from rl_slt.losses.base import Loss, policy_logits

# Samples in one pass over all data: of one chain; of all chains of a small network; of all chains
# of another one, whose activations are all held at once.
CHUNK, BATCHED_CHUNK, WIDE_CHUNK = 512, 2048, 128
BATCHED_LIMIT = 50_000


class Evaluation(NamedTuple):
    """One evaluation of all chains: `[C]` each, and the gradient `[C, d]`.

    Attributes:
        loss: mean loss over the batch.
        loss_at_center: mean loss at w* over the same batch (0 for a self-KL): a control variate,
            whose mean over batches is L(w*).
        energy: U, double precision.
        grad: gradient of U in the sampler's coordinates.
        prior: `(gamma / 2) |w - w*|^2`.
        virial: `(w - w*) . grad U`, whose mean is d under the exact posterior (Stein identity).
        stiff: mean of `(u . z) (u . grad U)`, in the sampler's coordinates z, over the unit
            directions u in which the preconditioner found more curvature of the loss than of the
            localizer; its mean is 1 by the same identity. None where there is no such direction.
        noise: rows `[C, m - 1, d]` whose outer products sum to the covariance of `grad` over
            batches, without bias, in the sampler's coordinates; None where it was not asked for.
    """

    loss: Tensor
    loss_at_center: Tensor
    energy: Tensor
    grad: Tensor
    prior: Tensor
    virial: Tensor
    stiff: Tensor | None = None
    noise: Tensor | None = None


class Trace(NamedTuple):
    """Trace of the curvature H at w* (`rl_slt.posterior.curvature`), with its standard error.

    That is over episodes of states, or over the random directions that a Hessian was probed along.

    Attributes:
        samples: `[n]`, what each sample adds to the trace (times n), or None where not known.
    """

    value: float
    stderr: float
    samples: Tensor | None = None

    def relative_temperature(self, nbeta: float, localization: float) -> float:
        """`K = nbeta tr(H) / (2 gamma)`; infinite without a localizer."""
        return nbeta * self.value / (2 * localization) if localization else math.inf * nbeta

    def nbeta_at(self, relative: float, localization: float) -> float:
        """The nbeta of a relative temperature K."""
        return 2 * localization * relative / self.value


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """`T = diag(scale) (I + U diag(shrink - 1) U')`, U orthonormal `[d, k]`.

    With `scale = 1 / sqrt(gamma)` and `shrink_i = (1 + nbeta h_i / gamma)^(-1/2)` for the leading
    eigenpairs (h_i, u_i) of the curvature, `T T'` is the covariance of the Gaussian approximation
    of the posterior: every resolved direction gets unit curvature.

    Attributes:
        scale: `[]` or `[d]`, above 0.
        basis: U, `[d, k]`.
        shrink: `[k]`, in (0, 1].
    """

    scale: Tensor
    basis: Tensor
    shrink: Tensor

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`T z` of rows `[C, d]`, and `z U` `[C, k]`."""
        moved, along = self._along(z, self.shrink)
        return moved * self.scale, along

    def transpose(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """`T' g` of rows `[C, d]`, and its products with U `[C, k]`."""
        pulled, along = self._along(g * self.scale, self.shrink)
        return pulled, along * self.shrink

    def inverse(self, delta: Tensor) -> Tensor:
        """`T^-1 delta` of rows `[C, d]`."""
        return self._along(delta / self.scale, 1 / self.shrink)[0]

    @cached_property
    def stiff(self) -> Tensor | None:
        """Shares `[k]` of the columns of U with `nbeta h > gamma` in a mean over those."""
        stiff = (self.shrink**2 < 0.5).to(self.shrink)
        return stiff / stiff.sum() if stiff.any() else None

    def _along(self, rows: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `[C, d]` with their parts along U times `factor` `[k]`, and those parts."""
        along = rows @ self.basis
        return torch.addmm(rows, along * (factor - 1), self.basis.T), along


class Target:
    """`U(w) = nbeta L_n(w) + (gamma / 2) |w - w*|^2`, minus the log of what is sampled.

    Samplers see coordinates z with `w = w* + T z`, T a fixed linear map (`preconditioner`; the
    identity unless one was made). A fixed T needs no correction term: it is a change of
    coordinates. All chains are evaluated together: positions `[C, d]`.

    Attributes:
        dim: d, the number of free parameters.
        n: how many samples (states or episodes) the data hold.
        nbeta: n times beta, the inverse temperature times the number of samples.
        localization: gamma, per squared unit of weight.
        width: standard deviation of the localizing Gaussian; 1 where there is none.
        device: where weights, data and chains are.
        center_losses: per-sample losses `[n]` at w*.
        direction: unit vector `[d]` along which the weights are held at w*, or None. The chains'
            own coordinate along it follows the localizer alone, so that nothing is degenerate for
            a sampler: the rest has exactly the posterior within the subspace.
        grads: sample gradients spent so far.
        batched: whether the gradients of all chains are made at once, where they can be traced:
            those of small networks without convolutions, on a GPU those of all.
        gauge: `balanced` where w* is the balanced one of many equal policies, else `none`.
        trace: of the curvature at w*, once it was measured.
        traced: the gradient as a graph, or None where it could not be had.
    """

    def __init__(
        self,
        flat: FlatPolicy,
        data: PolicyData,
        loss: Loss,
        nbeta: float,
        localization: float,
        bfloat16: bool = False,
    ) -> None:
        self.flat, self.data, self.loss = flat, data, loss
        self.nbeta, self.localization = nbeta, localization
        self.samples = Samples(data, loss.sample_unit)
        self.n, self.dim, self.device = self.samples.n, len(flat.w_star), flat.w_star.device
        self.width = localization**-0.5 if localization > 0 else 1.0
        self._ids = torch.arange(self.n, device=self.device)
        self.preconditioner: Preconditioner | None = None
        self.direction: Tensor | None = None
        self.gauge = "none"
        self.trace = Trace(math.nan, math.nan)
        self.grads = 0
        self._whole: PolicyData | None = None  # all data, where they are one chunk
        apart = overlaps(flat.module)  # batched convolutions are slow on a CPU
        self.batched = (self.dim <= BATCHED_LIMIT and not apart) or self.device.type != "cpu"
        self.traced = self._try_tracing(bfloat16 and apart)
        self.center_losses = self._losses_at_center()
        self._mean_center_loss = self.center_losses.mean()
        self._chunk = CHUNK
        if self.batched and self.traced:
            small = self.dim <= BATCHED_LIMIT and not has_conv(flat.module)
            self._chunk = BATCHED_CHUNK if small else WIDE_CHUNK

    @property
    def rounded(self) -> bool:
        """Whether convolutions are made in bfloat16, for the loss at w* too."""
        return self.traced is not None and self.traced.rounded

    def weights(self, z: Tensor) -> Tensor:
        """`w - w*` `[C, d]` of coordinates `z` `[C, d]`."""
        return self.held(z if self.preconditioner is None else self.preconditioner.forward(z)[0])

    def change_nbeta(self, nbeta: float) -> None:
        """Go over to another inverse temperature, and the preconditioner with it.

        `shrink_i = (1 + nbeta h_i / gamma)^(-1/2)` has a new nbeta, each h_i stays.
        """
        if self.preconditioner is not None and self.nbeta:
            shrink = self.preconditioner.shrink.double()
            shrink = (1 + (shrink**-2 - 1) * (nbeta / self.nbeta)) ** -0.5
            shrink = shrink.to(self.preconditioner.shrink)
            self.preconditioner = replace(self.preconditioner, shrink=shrink)
        self.nbeta = nbeta

    def held(self, rows: Tensor) -> Tensor:
        """Rows `[C, d]` without their component along the direction held."""
        if self.direction is None:
            return rows
        return rows - (rows @ self.direction)[:, None] * self.direction

    def evaluate(
        self,
        z: Tensor,
        index: Sequence[Tensor | None],
        generators: Sequence[Generator],
        parts: int = 1,
    ) -> Evaluation:
        """Loss over each chain's batch and gradient of U in z.

        Args:
            z: `[C, d]`.
            index: per chain, the samples of its batch, or None for all data.
            generators: per chain, for losses that redraw.
            parts: equal parts that each batch is divided into, to tell its gradient's noise from
                their differences; 1 tells none.
        """
        own = self.preconditioner
        moved, along = (z, None) if own is None else own.forward(z)
        delta = self.held(moved)
        w, noise = self.flat.w_star + delta, None
        if self.loss.plays:
            found = self._fresh_loss_grad(w, index, generators, parts)
            noise = None if parts == 1 else self._noise(found[1], 0)
            loss, grad, at_center = (x.mean(1) for x in found)
        elif parts == 1:
            loss, grad, at_center = self._loss_grad(w, index, generators)
        else:
            w = w.repeat_interleave(parts, 0)
            rows = [part for i in index if i is not None for part in i.chunk(parts)]
            each = [g for g in generators for _ in range(parts)]
            found = self._loss_grad(w, rows, each)
            loss, grad, at_center = (x.unflatten(0, (len(z), parts)) for x in found)
            noise = self._noise(grad, len(rows[0]) * parts)
            loss, grad, at_center = loss.mean(1), grad.mean(1), at_center.mean(1)
        grad_w = self.held(grad.mul_(self.nbeta).add_(delta, alpha=self.localization))
        virial, stiff = _dots(delta, grad_w), None
        prior = 0.5 * self.localization * _dots(delta, delta)
        energy = self.nbeta * loss.double() + prior.double()
        pull = grad_w
        if self.direction is not None:
            idle = moved - delta
            energy = energy + 0.5 / self.width**2 * _dots(idle, idle)
            pull = grad_w.add(idle, alpha=1 / self.width**2)
        grad_z = pull
        if own is not None and along is not None:
            grad_z, pulled = own.transpose(pull)
            stiff = None if own.stiff is None else (along * pulled) @ own.stiff
        return Evaluation(loss, at_center, energy, grad_z, prior, virial, stiff, noise)

    def _noise(self, grads: Tensor, size: int) -> Tensor:
        """`Evaluation.noise` of the gradients of a batch's m parts `[C, m, d]`.

        The covariance of a mean of m parts is estimated by their contrasts (Helmert's, orthonormal)
        over m (m - 1), less the share `size / n` of the data that the batch has seen, for it is
        drawn without replacement.
        """
        parts = grads.shape[1]
        k = torch.arange(1, parts, device=grads.device, dtype=grads.dtype)[:, None]
        contrast = torch.ones(parts - 1, parts, device=grads.device, dtype=grads.dtype).tril()
        contrast = (contrast - k * torch.eye(parts, device=grads.device)[1:]) / (k * (k + 1)).sqrt()
        share = (1 - size / self.n) / (parts * (parts - 1))
        rows = self.held(((self.nbeta * share**0.5 * contrast) @ grads).flatten(0, 1))
        if self.preconditioner is not None:
            rows = self.preconditioner.transpose(rows)[0]
        return rows.unflatten(0, (len(grads), parts - 1))

    def _loss_grad(
        self, w: Tensor, index: Sequence[Tensor | None], generators: Sequence[Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean losses `[C]`, gradients `[C, d]`, and losses at w* `[C]`, each over its batch."""
        if all(i is None for i in index) and not self.loss.redrawn:
            return self._over_all(w, generators[0])
        rows = [self._ids if i is None else i for i in index]
        self.grads += sum(len(i) for i in rows)
        traced = self.traced if self.batched and len(w) > 1 else None
        if not self.loss.redrawn and (traced or self._alone):
            where = torch.stack(rows)
            found = traced.of_rows(w, where) if traced else self._each(w, rows)
            return *found, self.center_losses.take(where).mean(1)
        batches = [
            self.loss.refresh(self.samples.take(i), g, self.flat.load(at))
            for i, g, at in zip(rows, generators, w, strict=True)
        ]
        at_center = [self.loss.loss_at_center(b) for b in batches]
        fixed = zip(at_center, batches, rows, strict=True)
        centers = torch.stack([
            (self.center_losses[i] if c is None else self.loss.weigh(c, b)).mean()
            for c, b, i in fixed
        ])  # fmt: skip
        if traced is None:
            return *self._apart(w, batches), centers
        each = [b.tensors() for b in batches]
        return *traced(w, {k: torch.stack([f[k] for f in each]) for k in each[0]}), centers

    def _fresh_loss_grad(
        self, w: Tensor, index: Sequence[Tensor | None], generators: Sequence[Generator], parts: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses `[C, m]`, gradients `[C, m, d]` and losses at w* `[C, m]` of m parts of batches.

        Of a loss that plays: each chain plays its batch with its own weights and with w*, by the
        same random numbers.
        """
        grad = w.new_empty(len(w), parts, self.dim)
        losses, centers = w.new_empty(len(w), parts), w.new_empty(len(w), parts)
        for c, (i, generator) in enumerate(zip(index, generators, strict=True)):
            given = self.samples.take(self._ids if i is None else i)
            twin = generator.clone_state()
            center = self.flat.load(self.flat.w_star)
            fixed = self.losses(center, self.loss.refresh(given, twin, center))
            batch = self.loss.refresh(given, generator, self.flat.load(w[c]))
            whole = Samples(batch, self.loss.sample_unit)
            self.grads += whole.n
            for k, part in enumerate(torch.arange(whole.n, device=self.device).chunk(parts)):
                losses[c, k] = self.flat.value_and_grad(
                    self.loss, whole.take(part), w[c], grad[c, k]
                )
                centers[c, k] = fixed[part].mean()
        return losses, grad, centers

    def _over_all(self, w: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """The same over all data, in chunks that all chains share.

        Samples that the loss cannot tell apart are computed once, with the weight of them all.
        """
        loss, grad = w.new_zeros(len(w)), torch.zeros_like(w)
        traced = self.traced if self.batched and len(w) > 1 else None
        repeats = None if traced is None else self._repeats
        ids, weights = repeats or (self._ids, None)
        for first in range(0, len(ids), self._chunk):
            mine = ids[first : first + self._chunk]
            share, whole = len(mine) / self.n, len(mine) == len(ids)
            if self.loss.redrawn or not (traced or self._alone):
                data = self._whole or self.samples.take(mine)
                self._whole = data if whole else None
                batch = self.loss.refresh(data, generator, self.flat.load(w[0]))
                if traced is None:
                    value, slope = self._apart(w, [batch] * len(w))
                else:
                    value, slope = traced(w, batch.tensors(), shared=True)
            elif traced is None:
                value, slope = self._each(w, [mine] * len(w), whole)
            else:
                counts = None if weights is None else weights[first : first + self._chunk]
                share = share if weights is None else 1.0
                value, slope = traced.of_rows(w, mine, True, counts, whole)
            loss.add_(value, alpha=share)
            grad.add_(slope, alpha=share)
            self.grads += len(mine) * len(w)
        return loss, grad, self._mean_center_loss.expand(len(w))

    @property
    def _alone(self) -> TracedGradient | None:
        """The traced gradient where it is of one chain at a time."""
        return None if self.batched else self.traced

    def _each(
        self, w: Tensor, rows: Sequence[Tensor], whole: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Losses and gradients of samples of the data by `_alone`."""
        traced = self._alone
        assert traced is not None
        each = [traced.of_rows(x, i, whole=whole) for x, i in zip(w, rows, strict=True)]
        values, grads = zip(*each, strict=True)
        return torch.stack(values), torch.stack(grads)

    def _apart(self, w: Tensor, batches: Sequence[PolicyData]) -> tuple[Tensor, Tensor]:
        """Losses and gradients, one chain after the other."""
        grad, losses = torch.empty_like(w), []
        for c, batch in enumerate(batches):
            if self._alone is not None:
                value, grad[c] = self._alone(w[c], batch.tensors())
            else:
                value = self.flat.value_and_grad(self.loss, batch, w[c], grad[c])
            losses.append(value)
        return torch.stack(losses), grad

    def center_gradient(self, generator: Generator) -> Tensor:
        """Gradient `[d]` of the loss at w* over all data; exactly 0 for a self-KL."""
        if self.loss.zero_at_center:
            return torch.zeros_like(self.flat.w_star)
        return self._over_all(self.flat.w_star[None], generator)[1][0]

    @cached_property
    def center_logits(self) -> Tensor:
        """What the policy gives at w* on all data: logits `[N, A]`, of levels `[N, S, A]`."""
        return policy_logits(self.flat.load(self.flat.w_star), self.data)

    @cached_property
    def _repeats(self) -> tuple[Tensor, Tensor] | None:
        """Samples that differ in what the loss reads of them, with their shares, if few do."""
        if self.traced is None or self.loss.redrawn or not self.traced.reads:
            return None
        fields = self.data.tensors()
        found = distinct([fields[name] for name in sorted(self.traced.reads)])
        dtype = self.flat.w_star.dtype
        return found and (found[0].to(self.device), found[1].to(self.device, dtype))

    def _try_tracing(self, bfloat16: bool) -> TracedGradient | None:
        """The traced gradient where it is right, in bfloat16 if asked for and about as right."""
        if self.loss.batched is False or self.loss.sample_unit == "episode":
            return None
        generator = Generator(self.device).manual_seed(0)
        size = (2, min(self.n, 8))
        rows = torch.randint(self.n, size, generator=generator, device=self.device)
        module = self.flat.load(self.flat.w_star)
        given = [self.samples.take(r) for r in rows]
        batches = [self.loss.refresh(part, generator, module).tensors() for part in given]
        stacked = {k: torch.stack([b[k] for b in batches]) for k in batches[0]}
        noise = self.flat.w_star.new_empty(2, self.dim).normal_(generator=generator)
        noise /= self.dim**0.5
        for anew in (False, True):
            candidate = TracedGradient(self.flat, self.loss, self.data, anew)
            if candidate.agrees(self.flat.w_star + 0.1 * noise, stacked, self.batched):
                break
        else:
            return None
        if bfloat16:
            candidate.round(self.flat.w_star + noise, stacked)
        return candidate

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """Evaluate in float32: differences of two gradients nearby would be rounding else."""
        traced = self.traced
        if self.rounded:
            self.traced = None
        try:
            yield
        finally:
            self.traced = traced

    def _losses_at_center(self) -> Tensor:
        """Per-sample losses `[n]` at w*, exact zeros where the loss is zero there by definition."""
        if self.loss.zero_at_center and not self.rounded:
            return self.flat.w_star.new_zeros(self.n)
        module = self.flat.load(self.flat.w_star)
        return torch.cat(
            [self.losses(module, self.samples.take(i)) for i in self._ids.split(CHUNK)]
        )

    def losses(self, module: nn.Module, batch: PolicyData, loss: Loss | None = None) -> Tensor:
        """Per-sample losses `[B]` of a module (of `loss`), in the precision of the gradients."""
        with torch.no_grad():
            return (loss or self.loss).weighted(
                in_bfloat16(module) if self.rounded else module, batch
            )


def _dots(a: Tensor, b: Tensor) -> Tensor:
    """Products `[C]` of rows `[C, d]`; long ones one by one, without a temporary of their size."""
    if a.shape[1] <= BATCHED_LIMIT:
        return torch.linalg.vecdot(a, b)
    return torch.stack([torch.dot(x, y) for x, y in zip(a, b, strict=True)])
