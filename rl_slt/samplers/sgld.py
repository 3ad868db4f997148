"""Stochastic gradient Langevin dynamics (Welling & Teh 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.samplers.base import Evaluate, Info, Sampler, normal


class State(NamedTuple):
    """Positions `[C, d]`."""

    position: Tensor


@dataclass(frozen=True)
class SGLD(Sampler):
    """`w <- w - (eps/2) grad U_B(w) + N(0, eps)`, U_B the posterior's energy over a batch.

    On a quadratic with full-batch curvature a its stationary variance is
    `1 / (a (1 - eps a / 4))`: unbiased only as `eps a -> 0`, unstable from `eps a = 4`. Noise of
    the batch gradient inflates the variance by about `(eps / 4)` times its covariance besides.

    Attributes:
        step_size: eps, in squared units of the sampled coordinates; None adapts it in burn-in.

    Raises:
        InputError: the step size is not a positive finite number.
    """

    name = "sgld"
    order = 1
    max_step = 0.1  # variance 2.5 % too large in the direction of the largest curvature

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


@dataclass(frozen=True)
class OrthogonalSGLD(SGLD):
    """SGLD with `orthogonal=True` (`estimate_llc`), which any sampler takes: its older name.

    Args:
        step_size: as for `SGLD`.
    """

    name = "orthogonal_sgld"
    orthogonal = True
