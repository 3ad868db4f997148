"""Metropolis-adjusted Langevin algorithm over all data (Roberts & Tweedie 1996)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, Sampler, normal
from rl_slt.samplers.hmc import State, metropolis


@dataclass(frozen=True)
class MALA(Sampler):
    """SGLD's step over all data as a proposal, then accept or stay: exact at any step size.

    `w' = w - (eps/2) grad U(w) + N(0, eps)`, accepted with the ratio of
    `exp(-U(w)) N(w'; w - (eps/2) grad U(w), eps)` both ways.

    Attributes:
        step_size: eps, in squared units of the sampled coordinates; None adapts it in burn-in.

    Raises:
        InputError: the step size is not a positive finite number.
    """

    name = "mala"
    order = 1
    max_step = 1.0
    full_batch = True
    target_accept = 0.574  # optimal in high dimension (Roberts & Rosenthal 1998)

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`."""
        return State(position.clone(), evaluate(position))

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One proposal of all chains; the reported loss is at the position kept."""
        here = state.evaluation
        noise = normal(state.position, generators)
        moved = state.position - step_size / 2 * here.grad + step_size**0.5 * noise
        there = evaluate(moved)
        back = (state.position - moved + step_size / 2 * there.grad) / step_size**0.5
        gain = here.energy - there.energy
        gain = gain + 0.5 * (noise.double().square() - back.double().square()).sum(-1)
        return metropolis(State(moved, there), state, gain, generators)
