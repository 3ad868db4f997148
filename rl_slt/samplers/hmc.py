"""Hamiltonian Monte Carlo over all data, with its Metropolis test (Neal 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.errors import InputError
from rl_slt.samplers.base import Evaluate, Info, check_positive, normal
from rl_slt.target import Evaluation


class State(NamedTuple):
    """Positions `[C, d]` and the evaluation there."""

    position: Tensor
    evaluation: Evaluation


@dataclass(frozen=True)
class HMC:
    """`leapfrog` leapfrog steps of size h with fresh velocities, then accept or stay: exact.

    The number of leapfrog steps is drawn uniformly from 1 to `2 leapfrog - 1` each time (by the
    first chain's generator), so that no direction is sampled in resonance with its own period.

    With `rotate`, the motion under the reference Gaussian `exp(-|w|^2 / 2)` is solved exactly (a
    rotation of position and velocity by the angle h) and only the rest of the gradient kicks, as
    in Shahbaba et al. 2014: in whitened coordinates the step then need not shrink with the number
    of directions that the loss does not feel.

    Attributes:
        step_size: h, in units of the sampled coordinates; None adapts it in burn-in.
        leapfrog: mean number of leapfrog steps, each costing one gradient over all data.
        rotate: split off the reference Gaussian.

    Raises:
        InputError: a setting is not positive.
    """

    step_size: float | None = None
    leapfrog: int = 8
    rotate: bool = False
    name: ClassVar[str] = "hmc"
    full_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)
        if self.leapfrog < 1:
            raise InputError(f"leapfrog={self.leapfrog}; it must be at least 1")

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`."""
        return State(position.clone(), evaluate(position))

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One trajectory of all chains; the reported loss is at the position kept."""
        steps = int(torch.randint(1, 2 * self.leapfrog, (), generator=generators[0]))
        velocity = normal(state.position, generators)
        position, here = state.position.clone(), state.evaluation
        before = hamiltonian(here, velocity)
        for _ in range(steps):
            velocity = self._kick(position, velocity, here, step_size / 2)
            position, velocity = self._move(position, velocity, step_size)
            here = evaluate(position)
            velocity = self._kick(position, velocity, here, step_size / 2)
        accept = acceptance(before - hamiltonian(here, velocity))
        return metropolis(State(position, here), state, accept, generators)

    def _kick(self, position: Tensor, velocity: Tensor, here: Evaluation, time: float) -> Tensor:
        velocity = velocity.add(here.grad, alpha=-time)
        return velocity.add_(position, alpha=time) if self.rotate else velocity

    def _move(self, position: Tensor, velocity: Tensor, time: float) -> tuple[Tensor, Tensor]:
        if not self.rotate:
            return position.add(velocity, alpha=time), velocity
        c, s = cos(time), sin(time)
        return c * position + s * velocity, c * velocity - s * position


def hamiltonian(evaluation: Evaluation, velocity: Tensor) -> Tensor:
    """Energy `[C]` of position and velocity, in double precision."""
    return evaluation.energy + 0.5 * velocity.double().square().sum(-1)


def acceptance(gain: Tensor) -> Tensor:
    """Metropolis probability `[C]` of a log-density gain; a NaN is never accepted."""
    return gain.nan_to_num(-torch.inf).clamp(max=0).exp()


def metropolis(
    proposed: State, current: State, accept: Tensor, generators: Sequence[Generator]
) -> tuple[State, Info]:
    """Keep each chain's proposal with its probability `[C]`."""
    uniform = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    take = uniform < accept

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(take.view(-1, *[1] * (new.ndim - 1)), new, old)

    pairs = zip(proposed.evaluation, current.evaluation, strict=True)
    kept = Evaluation(*[pick(new, old) for new, old in pairs])
    return State(pick(proposed.position, current.position), kept), Info(kept, accept)
