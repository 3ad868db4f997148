"""Running chains: burn-in with adaptation, then draws with everything frozen."""

from __future__ import annotations

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
# limit of its own: the largest step by the order of the sampler.
NOISE_LIMIT = {1: 0.1, 2: 0.3}


class Draws(NamedTuple):
    """What was kept, `[C, T]` each.

    Attributes:
        loss: loss over the batch that drove the step.
        loss_at_center: loss at w* over the same batch.
        virial: `(w - w*) . grad U / d`.
        accept: acceptance probabilities.
    """

    loss: NDArray[np.float64]
    loss_at_center: NDArray[np.float64]
    virial: NDArray[np.float64]
    accept: NDArray[np.float64]


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
            stepped()
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
            light = info.evaluation._replace(grad=torch.empty(0))  # its gradient need not be kept
            kept.append(info._replace(evaluation=light))
            stepped()

        def column(pick: Callable[[Info], Tensor]) -> NDArray[np.float64]:
            return torch.stack([pick(i) for i in kept], dim=1).double().cpu().numpy()

        sampled = self.target.dim - (self.target.direction is not None)  # one is held
        return Draws(
            column(lambda i: i.evaluation.loss),
            column(lambda i: i.evaluation.loss_at_center),
            column(lambda i: i.evaluation.virial) / sampled,
            column(lambda i: i.accept),
        )

    def evaluate(self, z: Tensor) -> Evaluation:
        """Loss and gradient at `z` `[C, d]` over a fresh batch for each chain."""
        index = [None if self.sampler.full_batch else b.next() for b in self.batches]
        return self.target.evaluate(z, index, self.generators)

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
        accept = self.sampler.target_accept
        self.averaging = DualAveraging(self.step_size, accept) if accept else None
