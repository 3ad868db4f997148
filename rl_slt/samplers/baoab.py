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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("friction", self.friction)

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]` with velocities from their stationary distribution."""
        return State(position.clone(), normal(position, generators))

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One step of all chains; the reported loss is at the position before the step."""
        h, keep = step_size, exp(-self.friction * step_size)
        position, velocity = state
        here = evaluate(position)
        velocity.add_(here.grad, alpha=-h)
        position.add_(velocity, alpha=h / 2)
        velocity.mul_(keep).add_(normal(velocity, generators), alpha=sqrt(1 - keep**2))
        position.add_(velocity, alpha=h / 2)
        return State(position, velocity), Info(here, torch.ones_like(here.loss))
