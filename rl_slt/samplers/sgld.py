"""Stochastic gradient Langevin dynamics (Welling & Teh 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, check_positive, normal


class State(NamedTuple):
    """Positions `[C, d]`."""

    position: Tensor


@dataclass(frozen=True)
class SGLD:
    """`w <- w - (eps/2) grad U_B(w) + N(0, eps)`, U_B the posterior's energy over a batch.

    On a quadratic with full-batch curvature a its stationary variance is
    `1 / (a (1 - eps a / 4))`: unbiased only as `eps a -> 0`, unstable from `eps a = 4`. Noise of
    the batch gradient heats the chain by about `(eps / 4)` times its covariance besides.

    Attributes:
        step_size: eps, in squared units of the sampled coordinates; None adapts it in burn-in.

    Raises:
        InputError: the step size is not a positive finite number.
    """

    step_size: float | None = None
    name: ClassVar[str] = "sgld"
    full_batch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> State:
        """State at `position` `[C, d]`."""
        return State(position.clone())

    def step(
        self, generators: Sequence[Generator], state: State, evaluate: Evaluate, step_size: float
    ) -> tuple[State, Info]:
        """One step of all chains; the reported loss is at the position before the step."""
        here = evaluate(state.position)
        noise = normal(state.position, generators)
        position = state.position.add_(here.grad, alpha=-step_size / 2)
        position.add_(noise, alpha=step_size**0.5)
        return State(position), Info(here, torch.ones_like(here.loss))
