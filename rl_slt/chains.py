"""Running chains: burn-in with adaptation, then draws with everything frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from rl_slt.adapt import DualAveraging, top_curvature, whiten
from rl_slt.samplers.base import Evaluate, Info, Sampler
from rl_slt.samplers.mala import MALA
from rl_slt.target import Evaluation, Target

Progress = Callable[[int, int], None]

# The largest eps * curvature (SGLD) and h^2 * curvature (second order) the adaptation allows: an
# overdamped step at 0.1 is 2.5 % hot in its stiffest direction, BAOAB is unbiased until it breaks.
SGLD_REACH, SECOND_ORDER_REACH = 0.1, 1.0
LARGEST = {"sgld": 0.1, "baoab": 0.3}
ADAPT_AT = (0.0, 0.25, 0.5, 0.75)
WHITEN_AT = (0.0, 0.25, 0.5)
WANTED_ACCEPTANCE = {"hmc": 0.8, "mala": 0.574}


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
        rank: directions of the whitening; 0 samples in plain coordinates.
    """

    target: Target
    sampler: Sampler
    generators: Sequence[Generator]
    batch_size: int
    rank: int = 0
    spread: Sequence[float] = (0.0,)

    def __post_init__(self) -> None:
        self.step_size = self.sampler.step_size or 0.0
        self.adapting = self.sampler.step_size is None
        self.averaging: DualAveraging | None = None

    def run(self, burn_in: int, draws: int, progress: Progress | None = None) -> Draws:
        """Burn in, freeze, draw."""
        state = self._start()
        marks = {int(f * burn_in) for f in ADAPT_AT}
        rebuilds = {int(f * burn_in) for f in WHITEN_AT} if self.rank else set()
        kept: list[Info] = []
        for t in range(burn_in + draws):
            if t < max(burn_in, 1) and t in marks:
                state = self._adapt(state, rebuild=t in rebuilds)
            if t == burn_in and self.averaging is not None:
                self.step_size = self.averaging.final()
            state, info = self.sampler.step(self.generators, state, self.evaluate, self.step_size)
            if t < burn_in and self.averaging is not None:
                self.step_size = self.averaging.update(info.accept)
            if t >= burn_in:
                kept.append(_light(info))
            if progress is not None:
                progress(t + 1, burn_in + draws)
        return _stack(kept, self.target.dim)

    def evaluate(self, z: Tensor) -> Evaluation:
        """Loss and gradient over a fresh batch for each chain."""
        index = [
            None if self.sampler.full_batch else self.target.units.draw(self.batch_size, g)
            for g in self.generators
        ]
        return self.target.evaluate(z, index, self.generators)

    def _start(self) -> Any:
        z = torch.zeros(len(self.generators), self.target.dim, dtype=self.target.flat.start.dtype)
        scale = self.target.localization**-0.5 if self.target.localization > 0 else 0.0
        for c, generator in enumerate(self.generators):
            share = self.spread[c % len(self.spread)] * scale
            if share:
                z[c].normal_(generator=generator).mul_(share)
        return self.sampler.init(z, self.evaluate, self.generators)

    def _adapt(self, state: Any, rebuild: bool) -> Any:
        """Rebuild the whitening and choose the step from the curvature where the chains are."""
        if rebuild:
            z = whiten(self.target, state.position, self.rank, self.generators)
            state = self.sampler.init(z, self.evaluate, self.generators)
        if not self.adapting:
            return state
        curvature = top_curvature(
            self._frozen_batches(), state.position, self.generators[0], self._radius()
        )
        self.step_size = step_for(self.sampler, curvature, self.rank > 0)
        if self.sampler.name in WANTED_ACCEPTANCE:
            wanted = WANTED_ACCEPTANCE[self.sampler.name]
            self.averaging = DualAveraging(self.step_size, wanted)
        return state

    def _radius(self) -> float:
        return 1e-2 if self.rank else 1e-3

    def _frozen_batches(self) -> Evaluate:
        size = min(4 * self.batch_size, self.target.n)
        index = [self.target.units.draw(size, g) for g in self.generators]
        return lambda z: self.target.evaluate(z, index, self.generators)


def step_for(sampler: Sampler, curvature: float, whitened: bool) -> float:
    """A step size from the largest curvature of U, below the sampler's own limit of trust."""
    curvature = max(curvature, 1e-12)
    if sampler.name in ("sgld", "rmsprop_sgld", "orthogonal_sgld"):
        eps = SGLD_REACH / curvature
        return min(eps, LARGEST["sgld"]) if whitened else eps
    if isinstance(sampler, MALA):
        return 1.0 / curvature
    h = (SECOND_ORDER_REACH / curvature) ** 0.5
    return min(h, LARGEST["baoab"]) if whitened and sampler.name == "baoab" else h


def _light(info: Info) -> Info:
    """Without the gradient, which need not be kept."""
    return info._replace(evaluation=info.evaluation._replace(grad=torch.empty(0)))


def _stack(kept: Sequence[Info], dim: int) -> Draws:
    def column(pick: Callable[[Info], Tensor]) -> NDArray[np.float64]:
        return torch.stack([pick(i) for i in kept], dim=1).double().numpy()

    return Draws(
        column(lambda i: i.evaluation.loss),
        column(lambda i: i.evaluation.start),
        column(lambda i: i.evaluation.virial) / dim,
        column(lambda i: i.accept),
    )
