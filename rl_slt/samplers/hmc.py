"""Hamiltonian Monte Carlo over all data, with its Metropolis test (Neal 2011)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.posterior.target import Evaluation
from rl_slt.samplers.base import Evaluate, Info, Sampler, check_number, normal
from rl_slt.settings_model import renamed_keywords


class State(NamedTuple):
    """Positions `[C, d]` and the evaluation there."""

    position: Tensor
    evaluation: Evaluation


@dataclass(frozen=True)
class HMC(Sampler):
    """`leapfrog` leapfrog steps of size h with fresh velocities, then accept or stay: exact.

    The number of leapfrog steps is drawn uniformly from 1 to `2 leapfrog - 1` each time (by the
    first chain's generator), so that no direction is sampled in resonance with its own period. The
    step of each chain's trajectory is drawn, too, log-uniformly from h / `step_jitter` to h
    (Neal 2011, section 3.2): near a singularity the curvature differs by orders of magnitude
    between places, and chains of one step size seldom get into or out of the narrow ones.

    With `rotate`, the motion under the reference Gaussian `exp(-|w|^2 / 2)` is solved exactly (a
    rotation of position and velocity by the angle h) and only the rest of the gradient kicks, as
    in Shahbaba et al. 2014: in preconditioned coordinates the step then need not shrink with the
    number of directions that the loss does not feel.

    Attributes:
        step_size: h, the longest step, in units of the sampled coordinates; None adapts it in
            burn-in.
        leapfrog: mean number of leapfrog steps, each costing one gradient over all data.
        step_jitter: ratio of the longest to the shortest step; 1 makes all equal.
        rotate: split off the reference Gaussian.

    Raises:
        InputError: a setting is not positive.
    """

    leapfrog: int = 8
    step_jitter: float = 10.0
    rotate: bool = False
    name = "hmc"
    order = 2
    max_step = 1.0
    full_batch = True
    target_accept = 0.8  # Betancourt, Byrne & Girolami 2014: 0.6 to 0.9 cost about the same

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("leapfrog", self.leapfrog, "an integer at least 1", lambda n: n >= 1, True)
        check_number(
            "step_jitter", self.step_jitter, "a finite number at least 1",
            lambda x: 1 <= x < math.inf,
        )  # fmt: skip

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`."""
        return State(position.clone(), evaluate(position))

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One trajectory of all chains; the reported loss is at the position kept."""
        device = state.position.device
        steps = int(torch.randint(1, 2 * self.leapfrog, (), generator=generators[0], device=device))
        uniform = torch.stack([torch.rand(1, generator=g, device=device) for g in generators])
        time = step_size * (self.step_jitter**-uniform).to(state.position.dtype)  # `[C, 1]`
        velocity = normal(state.position, generators)
        position, here = state.position.clone(), state.evaluation
        before = hamiltonian(here, velocity)
        for _ in range(steps):
            velocity = self._kick(position, velocity, here, time / 2)
            position, velocity = self._move(position, velocity, time)
            here = evaluate(position)
            velocity = self._kick(position, velocity, here, time / 2)
        gain = before - hamiltonian(here, velocity)
        return metropolis(State(position, here), state, gain, generators)

    def _kick(self, position: Tensor, velocity: Tensor, here: Evaluation, time: Tensor) -> Tensor:
        force = here.grad - position if self.rotate else here.grad
        return torch.addcmul(velocity, force, time, value=-1)

    def _move(self, position: Tensor, velocity: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        if not self.rotate:
            return torch.addcmul(position, velocity, time), velocity
        c, s = time.cos(), time.sin()
        return c * position + s * velocity, c * velocity - s * position


HMC.__init__ = renamed_keywords(spread="step_jitter")(HMC.__init__)  # type: ignore[method-assign]


def hamiltonian(evaluation: Evaluation, velocity: Tensor) -> Tensor:
    """Energy `[C]` of position and velocity, in double precision."""
    return evaluation.energy + 0.5 * velocity.double().square().sum(-1)


def metropolis(
    proposed: State, current: State, gain: Tensor, generators: Sequence[Generator]
) -> tuple[State, Info]:
    """Keep each chain's proposal with probability `min(1, exp(gain))`; never where that is NaN.

    Args:
        proposed: state that may come next.
        current: state that stays otherwise.
        gain: log-ratio of the densities `[C]`, for what asymmetry the proposal has corrected.
        generators: one per chain.
    """
    accept = gain.nan_to_num(-torch.inf).clamp(max=0).exp()
    uniform = torch.stack([accept.new_empty(()).uniform_(generator=g) for g in generators])
    take = uniform < accept

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(take.view(-1, *[1] * (new.ndim - 1)), new, old)

    # A step over all data has no noise, and what a preconditioner tells it tells at both.
    fields: list[Any] = [
        None if new is None or old is None else pick(new, old)
        for new, old in zip(proposed.evaluation, current.evaluation, strict=True)
    ]
    kept = Evaluation(*fields)
    return State(pick(proposed.position, current.position), kept), Info(kept, accept)
