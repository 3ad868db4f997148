"""Stochastic gradient Nose-Hoover thermostat (Ding et al. 2014), symmetric splitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, Sampler, check_positive, normal


class State(NamedTuple):
    """Positions and velocities `[C, d]`, and the thermostat's friction `[C]`."""

    position: Tensor
    velocity: Tensor
    friction: Tensor


@dataclass(frozen=True)
class SGNHT(Sampler):
    """`dw = v dt`, `dv = -grad U_B dt - x v dt + sqrt(2 A) dW`, `dx = (|v|^2/d - 1) dt / mass`.

    Split as BADODAB (Leimkuhler & Shang 2016). The friction x rises while the velocities'
    mean square is above 1, and so takes out the energy that the noise of the batch gradient puts
    in, whatever its size, as far as it is alike in all directions.

    Attributes:
        step_size: h, in units of the sampled coordinates; None adapts it in burn-in.
        diffusion: A, noise injected per unit of time.
        mass: of the thermostat, as a share of 1; larger is slower.

    Raises:
        InputError: a setting is not a positive finite number.
    """

    diffusion: float = 1.0
    mass: float = 1.0
    name = "sgnht"
    order = 2
    max_step = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("diffusion", "mass"):
            check_positive(name, getattr(self, name))

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`, stationary velocities, friction A."""
        friction = position.new_full((len(position),), self.diffusion)
        return State(position.clone(), normal(position, generators), friction)

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One step of all chains; the reported loss is at the position before the step."""
        h = step_size
        position, velocity, friction = state
        here = evaluate(position)
        velocity.add_(here.grad, alpha=-h)
        position.add_(velocity, alpha=h / 2)
        friction = friction + h / 2 * self._excess_energy(velocity)
        # The exact solution of `dv = -x v dt + sqrt(2 A) dW` over h; its variance
        # `A (1 - exp(-2 x h)) / x` goes to `2 A h` as x goes to 0.
        x = torch.where(friction.abs() < 1e-6, torch.full_like(friction, 1e-6), friction)
        keep, variance = torch.exp(-x * h), self.diffusion * -torch.expm1(-2 * x * h) / x
        noise = normal(velocity, generators)
        velocity.mul_(keep[:, None]).addcmul_(noise, variance.sqrt()[:, None])
        friction = friction + h / 2 * self._excess_energy(velocity)
        position.add_(velocity, alpha=h / 2)
        return State(position, velocity, friction), Info(here, torch.ones_like(here.loss))

    def _excess_energy(self, velocity: Tensor) -> Tensor:
        return (velocity.square().mean(1) - 1) / self.mass
