"""Underdamped Langevin dynamics by the BAOAB splitting (Leimkuhler & Matthews 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, Sampler, check_positive, normal


class State(NamedTuple):
    """Positions and velocities `[C, d]`."""

    position: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class BAOAB(Sampler):
    """`B: v -= h g/2, A: w += h v/2, O: v <- c v + sqrt(1 - c^2) N(0, 1), A, B`, `c = exp(-f h)`.

    One gradient g of U per step. With the exact gradient the position's distribution is exact on a
    quadratic at any stable step, `h sqrt(a) < 2`, where SGLD is biased. The two half kicks at a
    position share their batch and are done as one, which leaves the positions unchanged.

    Noise of covariance S in the gradient would heat the velocities: the kick adds `h^2 S` to their
    covariance. So B is a kick against the friction that takes out as much, in the noise's own
    directions (covariance-controlled friction, Shang et al. 2015), by the implicit midpoint rule:
    `v' = v - h g - (h^2 / 2) S (v + v') / 2`, under which N(0, 1) stays what it is for every S.
    S differs from place to place and is estimated at each step, from the spread of the gradient
    over `noise_parts` parts of the batch; the error of that heats by about `Var(h^2 S) / 2`.
    S has rank m - 1 of m parts: no more is solved.

    Attributes:
        step_size: h, in units of the sampled coordinates; None adapts it in burn-in.
        friction: f, per unit of time; of the order of the frequency sqrt(a) of the slowest
            direction that matters (1 in preconditioned coordinates).

    Raises:
        InputError: a setting is not a positive finite number.
    """

    friction: float = 2.0
    name = "baoab"
    order = 2
    max_step = 1.0  # no bias on a quadratic; breaks at 4
    noise_parts = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("friction", self.friction)

    def heat(self, step_size: float, variance: float) -> float:
        """What that noise would add to the temperature, `h S / (2 f)`, were it left in."""
        return step_size * variance / (2 * self.friction)

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]` with velocities from their stationary distribution."""
        return State(position.clone(), normal(position, generators))

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One step of all chains; the reported loss is at the position before the step."""
        h, keep = step_size, exp(-self.friction * step_size)
        position, velocity = state
        here, noise = evaluate(position), None
        if here.noise is None:
            velocity.add_(here.grad, alpha=-h)
        else:
            velocity, noise = kick(velocity, here.grad, here.noise, h)
        position.add_(velocity, alpha=h / 2)
        velocity.mul_(keep).add_(normal(velocity, generators), alpha=sqrt(1 - keep**2))
        position.add_(velocity, alpha=h / 2)
        return State(position, velocity), Info(here, torch.ones_like(here.loss), noise)


def kick(velocity: Tensor, grad: Tensor, noise: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """The step B where the gradient carries noise.

    `v' = v - h g - R' (I + R R' / 4)^-1 R (v - h g / 2) / 2`, `R = h noise`, solves the implicit
    midpoint rule of `BAOAB` with `h^2 S = R' R` (Woodbury).

    Args:
        velocity: `[C, d]`.
        grad: `[C, d]`.
        noise: rows whose outer products sum to the covariance S of `grad`, `[C, k, d]`.
        h: step size.

    Returns:
        Velocities `[C, d]` and the largest eigenvalue `[C]` of `h^2 S`.
    """
    rows = h * noise
    gram = rows @ rows.mT
    middle = rows @ (velocity - h / 2 * grad)[:, :, None]
    system = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device) + gram / 4
    taken = rows.mT @ torch.linalg.solve_ex(system, middle).result
    strength = torch.linalg.eigvalsh(gram.nan_to_num(0, 0, 0))[:, -1]
    return velocity - h * grad - taken[:, :, 0] / 2, strength
