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
from rl_slt.samplers.adaptation import (
    DualAveraging,
    initial_step,
    top_curvature,
    whiten,
)
from rl_slt.samplers.base import Info, Sampler

Progress = Callable[[int, int], None]

ADAPT_AT = (0.0, 0.5)
SNAPSHOTS = 24


class Draws(NamedTuple):
    """What was kept, `[C, T]` each.

    Attributes:
        loss: loss over the batch that drove the step.
        start: loss at w* over the same batch.
        virial: `(w - w*) . grad U / d`.
        accept: acceptance probabilities.
    """

    loss: NDArray[np.float64]
    start: NDArray[np.float64]
    virial: NDArray[np.float64]
    accept: NDArray[np.float64]


@dataclass
class Chains:
    """Independent chains on one target: own noise, own batches.

    Attributes:
        spread: each chain starts at w* plus its share of a draw from the localising Gaussian; 0
            is w* itself. Different shares start the chains on both sides of the typical loss, so
            that R-hat sees a burn-in that was too short.
        rank: directions of curvature made round; None samples in plain coordinates, 0 only takes
            the localiser's width as the unit.
        snapshots: weights `[C, d]` at evenly spaced draws, for the data's share of the error.
    """

    target: Target
    sampler: Sampler
    generators: Sequence[Generator]
    batch_size: int
    rank: int | None = None
    spread: Sequence[float] = (0.0,)
    snapshots: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step_size = self.sampler.step_size or 0.0
        self.averaging: DualAveraging | None = None
        self.state: Any = None
        self.batches = [
            Batches(self.target.units, self.batch_size, generator) for generator in self.generators
        ]

    def burn_in(self, steps: int, progress: Callable[[int], None]) -> None:
        """Adapt, forget the start, and freeze: step size, whitening and preconditioner."""
        self.state = self._start()
        marks = {int(f * steps) for f in ADAPT_AT}
        if self.rank is not None or self.sampler.step_size is None:
            self._adapt()  # also without burn-in: a step size must come from somewhere
        for t in range(steps):
            if t and t in marks:
                self._adapt(last=t == max(marks))
            self.state, info = self._step()
            if self.averaging is not None:
                self.step_size = self.averaging.update(info.accept)
            progress(t + 1)
        if self.averaging is not None and steps:
            self.step_size = self.averaging.final()
        self._freeze()

    def draw(self, draws: int, progress: Callable[[int], None]) -> Draws:
        """Steps that are kept; may be called again for more."""
        kept: list[Info] = []
        stride = -(-draws // SNAPSHOTS)
        for t in range(draws):
            if t % stride == stride - 1:
                self.snapshots.append(self.target.weights(self.state.position).clone())
            self.state, info = self._step()
            kept.append(_light(info))
            progress(t + 1)
        return _stack(kept, self.target.free_dim)

    def evaluate(self, z: Tensor) -> Evaluation:
        """Loss and gradient over a fresh batch for each chain."""
        index = [None if self.sampler.full_batch else b.next() for b in self.batches]
        return self.target.evaluate(z, index, self.generators)

    def _step(self) -> tuple[Any, Info]:
        return self.sampler.step(self.generators, self.state, self.evaluate, self.step_size)

    def _freeze(self) -> None:
        self.state = self.sampler.freeze(self.state)

    def _start(self) -> Any:
        z = self.target.flat.start.new_zeros(len(self.generators), self.target.dim)
        scale = self.target.localization**-0.5 if self.target.localization > 0 else 0.0
        for c, generator in enumerate(self.generators):
            share = self.spread[c % len(self.spread)] * scale
            if share:
                z[c].normal_(generator=generator).mul_(share)
        return self.sampler.init(z, self.evaluate, self.generators)

    def _adapt(self, last: bool = False) -> None:
        """Rebuild the whitening and choose the step from the curvature where the chains are.

        A preconditioner freezes at the last time, so that the rest of the burn-in forgets the law
        it had while it adapted; the whitening under it then stays, too.
        """
        frozen = last and self.sampler.metric(self.state) is not None
        if frozen:
            self._freeze()
        if self.rank is not None and not frozen:
            z = whiten(self.target, self.state.position, self.rank, self.generators)
            self.state = self.sampler.init(z, self.evaluate, self.generators)
        if self.sampler.step_size is not None:
            return
        size = min(2 * self.batch_size, self.target.n)
        index = [Batches(self.target.units, size, g).next() for g in self.generators]
        position = self.state.position
        with self.target.in_float32():
            curvature = top_curvature(
                lambda z: self.target.evaluate(z, index, self.generators),
                position,
                self.generators[0],
                1e-2 if self.rank is not None else 1e-2 * self.target.width,
                self.sampler.metric(self.state),
            )
        self.step_size = initial_step(self.sampler, curvature, self.rank is not None)
        target = self.sampler.target_accept
        self.averaging = DualAveraging(self.step_size, target) if target else None


def join(parts: Sequence[Draws]) -> Draws:
    """Draws of the same chains, one after the other."""
    return Draws(*[np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)])


def _light(info: Info) -> Info:
    """Without the gradient, which need not be kept."""
    return info._replace(evaluation=info.evaluation._replace(grad=torch.empty(0)))


def _stack(kept: Sequence[Info], dim: int) -> Draws:
    def column(pick: Callable[[Info], Tensor]) -> NDArray[np.float64]:
        return torch.stack([pick(i) for i in kept], dim=1).double().cpu().numpy()

    return Draws(
        column(lambda i: i.evaluation.loss),
        column(lambda i: i.evaluation.start),
        column(lambda i: i.evaluation.virial) / dim,
        column(lambda i: i.accept),
    )
