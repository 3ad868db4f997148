"""What a sampler is, and the parts they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from rl_slt.errors import InputError
from rl_slt.posterior.target import Evaluation

Evaluate = Callable[[Tensor], Evaluation]
"""Positions `[C, d]` to loss and gradient there, each call over a fresh batch for every chain."""


class Info(NamedTuple):
    """What one step reports, `[C]` each.

    Attributes:
        evaluation: loss over the batch that drove the step, at the position before it (for
            Metropolis samplers: all data, at the position kept).
        accept: acceptance probability (1 for samplers without a Metropolis test).
    """

    evaluation: Evaluation
    accept: Tensor


class Sampler(Protocol):
    """A Markov chain on positions `[C, d]`, all chains stepped together.

    Settings are a frozen dataclass; `step_size=None` asks for adaptation in burn-in. `State` is a
    named tuple whose first field is `position`. Each chain draws from its own generator.
    """

    name: ClassVar[str]
    full_batch: ClassVar[bool]

    @property
    def step_size(self) -> float | None:
        """In the sampler's coordinates; None is adapted in burn-in."""

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> Any:
        """State at `position` `[C, d]`."""

    def step(
        self, generators: Sequence[Generator], state: Any, evaluate: Evaluate, step_size: float
    ) -> tuple[Any, Info]:
        """One step of all chains."""


def normal(like: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Standard normal `[C, d]`, each row from its chain's own generator."""
    noise = torch.empty_like(like)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def check_positive(name: str, value: float | None) -> None:
    """Raise InputError unless `value` is None or a positive finite number."""
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"{name}={value}; it must be a positive finite number")
