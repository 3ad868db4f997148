"""SGLD preconditioned by RMSprop (Li et al. 2016), the preconditioner frozen after burn-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, Sampler, check_number, check_positive, normal


class State(NamedTuple):
    """Positions, running mean squares of the gradient `[C, d]`, and whether these still adapt."""

    position: Tensor
    square: Tensor
    adapting: bool


@dataclass(frozen=True)
class RMSpropSGLD(Sampler):
    """`w <- w - (eps/2) G g + N(0, eps G)`, `G` proportional to `1 / (sqrt(v) + floor)`, mean 1.

    v is the running mean of squared gradients. While v follows the chain the stationary
    distribution is not the posterior (that needs the divergence of G, which others drop); so v
    adapts in burn-in only, and with G fixed the distribution is SGLD's own again.

    Attributes:
        step_size: eps, in squared units of the sampled coordinates; None adapts it in burn-in.
        decay: of the running mean, per step.
        floor: added to sqrt(v), as a share of its mean, so that no direction runs away.

    Raises:
        InputError: a setting is out of its range.
    """

    decay: float = 0.98
    floor: float = 0.1
    name = "rmsprop_sgld"
    order = 1
    max_step = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("floor", self.floor)
        check_number("decay", self.decay, "a number between 0 and 1", lambda x: 0 < x < 1)

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`, with every direction alike."""
        return State(position.clone(), torch.ones_like(position), True)

    def freeze(self, state: State) -> State:
        """The preconditioner as it is from now on."""
        return state._replace(adapting=False)

    def metric(self, state: State) -> Tensor:
        """G, `[C, d]`."""
        root = state.square.sqrt()
        g = 1 / (root + self.floor * root.mean(dim=1, keepdim=True))
        return g / g.mean(dim=1, keepdim=True)

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One step of all chains; the reported loss is at the position before the step."""
        here = evaluate(state.position)
        if state.adapting:
            state.square.mul_(self.decay).addcmul_(here.grad, here.grad, value=1 - self.decay)
        g = self.metric(state)
        noise = normal(state.position, generators).mul_(g.sqrt())
        position = state.position.addcmul_(g, here.grad, value=-step_size / 2)
        position.add_(noise, alpha=step_size**0.5)
        return state._replace(position=position), Info(here, torch.ones_like(here.loss))
