"""Running chains: burn-in with adaptation, then draws with everything frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from rl_slt.data.samples import Batches
from rl_slt.posterior.target import Evaluation, Target
from rl_slt.samplers.adaptation import (
    DualAveraging,
    precondition,
    row_curvature,
    top_curvature,
)
from rl_slt.samplers.base import Info, Sampler

Progress = Callable[[int, int], None]

ADAPT_AT = (0.0, 0.5)
SNAPSHOTS = 24

# In preconditioned coordinates the curvature is about 1 and the noise of the batch gradient sets a
# limit of its own: the largest step by the order of the sampler; and, where the noise is measured,
# what it may add to the velocities in one step where friction takes that out again (the sum over
# directions), and where it does not to the LLC, as a share and at most. Longer steps than that, up
# to LONGEST, are taken only where they add little.
NOISE_LIMIT = {1: 0.1, 2: 0.3}
MOST_NOISE, MOST_BIAS = 0.1, 0.05
LONGEST, LITTLE_BIAS = 0.6, 0.02
LEAST_SHARE = 0.1  # of the step that the curvature allows: with less no chain comes anywhere
NOISE_WINDOW = 100  # steps it is averaged over
CORRECTED_LIMIT = 10_000  # weights up to which gradients of parts of a batch cost little


class Draws(NamedTuple):
    """What was kept, `[C, T]` each.

    Attributes:
        loss: loss over the batch that drove the step.
        loss_at_center: loss at w* over the same batch.
        virial: `(w - w*) . grad U / d`.
        accept: acceptance probabilities.
        stiff: the virial of the stiff directions alone (`Evaluation.stiff`), or None.
        noise: strength of the batches' noise (`Info.noise`), or None.
    """

    loss: NDArray[np.float64]
    loss_at_center: NDArray[np.float64]
    virial: NDArray[np.float64]
    accept: NDArray[np.float64]
    stiff: NDArray[np.float64] | None = None
    noise: NDArray[np.float64] | None = None

    def followed_by(self, more: Draws) -> Draws:
        """These draws and, after them, more of the same chains."""
        columns: list[Any] = [
            None if a is None or b is None else np.hstack((a, b))
            for a, b in zip(self, more, strict=True)
        ]
        return Draws(*columns)


def no_draws(chains: int) -> Draws:
    """Of chains that were not run."""
    none = np.empty((chains, 0))
    return Draws(none, none, none, none)


@dataclass
class Chains:
    """Independent chains on one target: own noise, own batches.

    Attributes:
        target: the posterior.
        sampler: of all chains.
        generators: one per chain, on the target's device.
        batch_size: samples per gradient and chain.
        rank: leading curvature directions to precondition; None samples in plain coordinates, 0
            only takes the localizer's width as the unit.
        init_dispersion: each chain begins at w* plus its share of a draw from the localizing
            Gaussian; 0 is w* itself. Different shares put the chains on both sides of the typical
            loss, so that R-hat sees a burn-in that was too short.
        snapshots: weights minus w* `[C, d]` at evenly spaced draws, for the error over states.
        step_size: in use; the sampler's own, or adapted.
        recorder: called with weights minus w* `[C, d]` after every step that is kept; None is not.
        resume_at: where a burn-in goes on from `[C, d]`; None begins at w* as `init_dispersion`
            says.
    """

    target: Target
    sampler: Sampler
    generators: Sequence[Generator]
    batch_size: int
    rank: int | None = None
    init_dispersion: Sequence[float] = (0.0,)
    snapshots: list[Tensor] = field(default_factory=list)
    recorder: Callable[[Tensor], None] | None = None
    resume_at: Tensor | None = None

    def __post_init__(self) -> None:
        self._take_step(self.sampler.step_size or 0.0)
        self.averaging: DualAveraging | None = None
        self.state: Any = None
        self.batches = [Batches(self.target.samples, self.batch_size, g) for g in self.generators]
        self.bias = math.nan  # by noise that friction does not take out: see `_heed_bias`
        whole = self.batch_size >= self.target.n and not self.target.loss.plays
        most = 1 if whole else self.sampler.noise_parts
        self.corrected = self.target.batched and self.target.dim <= CORRECTED_LIMIT
        # Where gradients of parts take long, those of two tell the noise at the end of burn-in.
        most = most if self.corrected else min(most, 2)
        self.most_parts = next(m for m in range(most, 0, -1) if self.batch_size % m == 0)
        self.parts = self.most_parts if self.corrected else 1

    def burn_in(self, steps: int, stepped: Callable[[], None]) -> None:
        """Adapt, forget where the chains began, and freeze: step size and preconditioners.

        Chains that have drawn before (`change_nbeta`) go on from there.

        Args:
            steps: how many.
            stepped: called after each.
        """
        z = self._dispersed() if self.resume_at is None else self.resume_at
        self.state = self.sampler.init(z, self.evaluate, self.generators)
        marks = {int(f * steps) for f in ADAPT_AT}
        if self.resume_at is not None and self.sampler.metric(self.state) is None:
            marks = set()
        if self.rank is not None or self.sampler.step_size is None:
            self._adapt()  # also without burn-in: a step size must come from somewhere
        for t in range(steps):
            if t and t in marks:
                self._adapt(last=t == max(marks))
            if t == max(marks, default=0):
                self.parts = self.most_parts
            self.state, info = self._step()
            if self.averaging is not None:
                self.step_size = self.averaging.update(info.accept)
            self._heed_noise(info.evaluation.noise)
            stepped()
        if not self.corrected:
            self.parts = 1
        if self.averaging is not None and steps:
            self.step_size = self.averaging.final()
        self.state = self.sampler.freeze(self.state)

    def _dispersed(self) -> Tensor:
        """Where chains begin `[C, d]`."""
        z = self.target.flat.w_star.new_zeros(len(self.generators), self.target.dim)
        width = self.target.width
        if self.target.loss.population and self.rank is not None:
            # nbeta may be so large that the localizer is a thousand times as wide as the posterior.
            precondition(self.target, z, self.rank, self.generators)
            width = 1.0
        for c, generator in enumerate(self.generators):
            share = self.init_dispersion[c % len(self.init_dispersion)]
            if share:
                z[c].normal_(generator=generator).mul_(share * width)
        return z

    def change_nbeta(self, nbeta: float, position: Tensor | None) -> None:
        """Go on at another temperature, from `position` `[C, d]` in the coordinates of that one.

        The directions are shrunk for it, and found again there. As the posterior is about a
        standard normal in its own coordinates, a draw at one temperature is nearly one at the
        other. Without a position all begins again.
        """
        if position is None:
            self.target.preconditioner = None
        self.target.change_nbeta(nbeta)
        self.snapshots.clear()
        self.resume_at = position

    def draw(self, draws: int, stepped: Callable[[], None]) -> Draws:
        """Steps that are kept; may be called again for more.

        Args:
            draws: how many.
            stepped: called after each.
        """
        kept: list[Info] = []
        stride = -(-draws // SNAPSHOTS)
        for t in range(draws):
            if t % stride == stride - 1:
                self.snapshots.append(self.target.weights(self.state.position).clone())
            self.state, info = self._step()
            if self.recorder is not None:
                self.recorder(self.target.weights(self.state.position))
            light = info.evaluation._replace(grad=torch.empty(0), noise=None)  # need not be kept
            kept.append(info._replace(evaluation=light))
            stepped()

        def column(pick: Callable[[Info], Tensor]) -> NDArray[np.float64]:
            return torch.stack([pick(i) for i in kept], dim=1).double().cpu().numpy()

        def told(pick: Callable[[Info], Tensor | None]) -> NDArray[np.float64] | None:
            found = [value for i in kept if (value := pick(i)) is not None]
            return torch.stack(found, dim=1).double().cpu().numpy() if found else None

        sampled = self.target.dim - (self.target.direction is not None)  # one is held
        return Draws(
            column(lambda i: i.evaluation.loss),
            column(lambda i: i.evaluation.loss_at_center),
            column(lambda i: i.evaluation.virial) / sampled,
            column(lambda i: i.accept),
            told(lambda i: i.evaluation.stiff),
            told(lambda i: i.noise),
        )

    def evaluate(self, z: Tensor) -> Evaluation:
        """Loss and gradient at `z` `[C, d]` over a fresh batch for each chain."""
        index = [None if self.sampler.full_batch else b.next() for b in self.batches]
        found = self.target.evaluate(z, index, self.generators, self.parts)
        if self.corrected or found.noise is None:
            return found
        self._heed_bias(found.noise, found.loss - found.loss_at_center)
        return found._replace(noise=None)

    def _step(self) -> tuple[Any, Info]:
        return self.sampler.step(self.generators, self.state, self.evaluate, self.step_size)

    def _adapt(self, last: bool = False) -> None:
        """Rebuild the preconditioner and choose the step from the curvature where the chains are.

        A preconditioner of the sampler's own freezes at the last time, so that the rest of the
        burn-in forgets the distribution it had while that adapted; ours under it then stays, too.
        """
        frozen = last and self.sampler.metric(self.state) is not None
        if frozen:
            self.state = self.sampler.freeze(self.state)
        if self.rank is not None and not frozen:
            z = precondition(self.target, self.state.position, self.rank, self.generators)
            self.state = self.sampler.init(z, self.evaluate, self.generators)
        if self.sampler.step_size is not None:
            return
        if self.target.loss.plays:
            curvature = row_curvature(self.target, self.state.position, self.generators)
        else:
            curvature = self._top_curvature()
        order = self.sampler.order
        step_size = (self.sampler.max_step / max(curvature, 1e-12)) ** (1 / order)
        self.longest = min(LONGEST, step_size)
        if self.rank is not None and not self.sampler.full_batch:
            step_size = min(step_size, NOISE_LIMIT[order])
        self._take_step(step_size)
        accept = self.sampler.target_accept
        self.averaging = DualAveraging(self.step_size, accept) if accept else None

    def _top_curvature(self) -> float:
        """Of U where the chains are, on larger batches."""
        size = min(2 * self.batch_size, self.target.n)
        index = [Batches(self.target.samples, size, g).next() for g in self.generators]
        with self.target.in_float32():
            return top_curvature(
                lambda z: self.target.evaluate(z, index, self.generators),
                self.state.position,
                self.generators[0],
                1e-2 if self.rank is not None else 1e-2 * self.target.width,
                self.sampler.metric(self.state),
            )

    def _take_step(self, step_size: float) -> None:
        """Go on with that step size, and measure the noise there anew."""
        self.step_size = self.most_step = step_size
        self.noise, self.llc, self.seen = 0.0, 0.0, 0

    def _heed_noise(self, noise: Tensor | None) -> None:
        """Bound what the noise of the batches `[C, k, d]` adds to the velocities in one step."""
        if noise is None or self.sampler.step_size is not None:
            return
        self._average(float(noise.square().sum((1, 2)).mean()))
        allowed = (MOST_NOISE / max(self.noise, 1e-12)) ** (1 / self.sampler.order)
        self._shorten(allowed / self.most_step)

    def _heed_bias(self, noise: Tensor, rise: Tensor) -> None:
        """Bound what the noise `[C, k, d]` adds to the LLC, of a loss that rises by `rise` `[C]`.

        It adds `heat / 2` for each direction, or less where the localizer holds it.
        """
        self._average(
            float(noise.square().sum((1, 2)).mean()), self.target.nbeta * float(rise.mean())
        )

        def bias(step_size: float) -> float:
            return self.sampler.heat(step_size, self.noise) / 2 / max(self.llc, 1e-12)

        if self.sampler.step_size is None:
            self._shorten(MOST_BIAS / max(bias(self.most_step), 1e-12))
            little = LITTLE_BIAS / max(bias(1.0), 1e-12)
            self.step_size = max(self.step_size, min(self.longest, little))
        self.bias = bias(self.step_size)

    def _shorten(self, share: float) -> None:
        """Take this share of the step that the curvature allows, if it is less than all of it."""
        self.step_size = self.most_step * min(1.0, max(LEAST_SHARE, share))

    def _average(self, noise: float, llc: float = 0.0) -> None:
        """Means of the noise and of the LLC over the last steps."""
        self.seen += 1
        self.noise += (noise - self.noise) / min(self.seen, NOISE_WINDOW)
        self.llc += (llc - self.llc) / min(self.seen, NOISE_WINDOW)
