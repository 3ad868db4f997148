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
from rl_slt.samplers.adaptation import DualAveraging, precondition, top_curvature
from rl_slt.samplers.base import Info, Sampler

Progress = Callable[[int, int], None]

ADAPT_AT = (0.0, 0.5)
SNAPSHOTS = 24

# In preconditioned coordinates the curvature is about 1 and the noise of the batch gradient sets a
# limit of its own: the largest step by the order of the sampler; and, where the noise is measured,
# what it may add to the velocities in one step where friction takes that out again (the sum over
# directions), and to the temperature of the stiff directions where it does not.
NOISE_LIMIT = {1: 0.1, 2: 0.3}
MOST_NOISE, MOST_HEAT = 0.1, 0.03
LEAST_SHARE = 0.1  # of the step that the curvature allows: with less no chain comes anywhere
NOISE_WINDOW = 100  # steps it is averaged over


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
    resume_at: Tensor | None = None

    def __post_init__(self) -> None:
        self.step_size = self.sampler.step_size or 0.0
        self.averaging: DualAveraging | None = None
        self.state: Any = None
        self.batches = [Batches(self.target.samples, self.batch_size, g) for g in self.generators]
        self.heat = math.nan  # of the stiff directions, by noise that friction does not take out
        most = 1 if self.batch_size >= self.target.n else self.sampler.noise_parts
        # Where each part is a pass of its own, two tell the noise in burn-in, for the step alone.
        self.corrected = self.target.batched
        most = most if self.corrected else min(most, 2)
        self.parts = next(m for m in range(most, 0, -1) if self.batch_size % m == 0)

    def burn_in(self, steps: int, stepped: Callable[[], None]) -> None:
        """Adapt, forget where the chains began, and freeze: step size and preconditioners.

        Chains that have drawn before (`change_nbeta`) go on from there, in the directions found.

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
        for c, generator in enumerate(self.generators):
            share = self.init_dispersion[c % len(self.init_dispersion)]
            if share:
                z[c].normal_(generator=generator).mul_(share * self.target.width)
        return z

    def change_nbeta(self, nbeta: float, position: Tensor | None) -> None:
        """Go on at another temperature, from `position` `[C, d]` in the coordinates of that one.

        The directions stay and are shrunk for it. As the posterior is about a standard normal in
        its own coordinates, a draw at one temperature is nearly one at the other. Without a
        position all begins again.
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
        self._heed_heat(found.noise)
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
        if self.rank is not None and self.resume_at is None and not frozen:
            z = precondition(self.target, self.state.position, self.rank, self.generators)
            self.state = self.sampler.init(z, self.evaluate, self.generators)
        if self.sampler.step_size is not None:
            return
        size = min(2 * self.batch_size, self.target.n)
        index = [Batches(self.target.samples, size, g).next() for g in self.generators]
        with self.target.in_float32():
            curvature = top_curvature(
                lambda z: self.target.evaluate(z, index, self.generators),
                self.state.position,
                self.generators[0],
                1e-2 if self.rank is not None else 1e-2 * self.target.width,
                self.sampler.metric(self.state),
            )
        order = self.sampler.order
        self.step_size = (self.sampler.max_step / max(curvature, 1e-12)) ** (1 / order)
        if self.rank is not None and not self.sampler.full_batch:
            self.step_size = min(self.step_size, NOISE_LIMIT[order])
        self.most_step, self.square, self.seen = self.step_size, 0.0, 0
        accept = self.sampler.target_accept
        self.averaging = DualAveraging(self.step_size, accept) if accept else None

    def _heed_noise(self, noise: Tensor | None) -> None:
        """Bound what the noise of the batches `[C, k, d]` adds to the velocities in one step."""
        if noise is None or self.sampler.step_size is not None:
            return
        square = self._mean_noise(float(noise.square().sum((1, 2)).mean()))
        allowed = (MOST_NOISE / max(square, 1e-12)) ** (1 / self.sampler.order)
        self._shorten(allowed / self.most_step)

    def _heed_heat(self, noise: Tensor) -> None:
        """Bound what the noise `[C, k, d]` adds to the temperature of the stiff directions."""
        preconditioner = self.target.preconditioner
        if preconditioner is None or not preconditioner.stiff.shape[1]:
            return
        along = (noise @ preconditioner.stiff).square().sum(1)
        variance = self._mean_noise(float(along.mean()))
        if self.sampler.step_size is None:
            self._shorten(MOST_HEAT / max(self.sampler.heat(self.most_step, variance), 1e-12))
        self.heat = self.sampler.heat(self.step_size, variance)

    def _shorten(self, share: float) -> None:
        """Take this share of the step that the curvature allows, if it is less than all of it."""
        self.step_size = self.most_step * min(1.0, max(LEAST_SHARE, share))

    def _mean_noise(self, square: float) -> float:
        """The mean of a measure of the noise over the last steps."""
        self.seen += 1
        self.square += (square - self.square) / min(self.seen, NOISE_WINDOW)
        return self.square
