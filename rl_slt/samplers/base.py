"""What a sampler is and must say of itself, and the parts that samplers share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

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
        noise: largest eigenvalue of the covariance that the batch gradient's noise adds to the
            velocities in this step, whose own is 1; None where the sampler does not correct for it.
    """

    evaluation: Evaluation
    accept: Tensor
    noise: Tensor | None = None


@runtime_checkable
@dataclass(frozen=True)
class Sampler(Protocol):
    """A Markov chain on positions `[C, d]`, all chains stepped together: the base of them all.

    A sampler is a frozen dataclass of its settings that gives `name`, `order` and `max_step`, and
    the methods `init` and `step`; the rest has defaults. Its state is a named tuple whose first
    field is `position`. Each chain draws from its own generator.

    Attributes:
        step_size: in units of the sampled coordinates (order 2), or their square (order 1); None
            adapts it in burn-in.
        name: what tables call it.
        order: of the dynamics. 1 (Langevin): the step multiplies the gradient, and stability
            bounds `step * curvature`. 2 (with velocities): it bounds `step^2 * curvature`.
        max_step: the largest such product that adaptation allows, at the largest curvature a of
            the posterior's energy: the step is `(max_step / a)^(1 / order)`.
        full_batch: whether each gradient is of all data, as a Metropolis test needs.
        target_accept: acceptance probability that burn-in adapts the step to; None keeps the
            step that the curvature gives.
        orthogonal: whether it brings the setting `orthogonal=True` with it.
        noise_parts: parts that each batch is divided into for `Evaluation.noise`, which costs no
            more sample gradients; 1 for samplers that take no notice of it.

    Raises:
        InputError: the step size is not a positive finite number.

    Example:
        >>> @dataclass(frozen=True)
        ... class HalfSGLD(SGLD):
        ...     name = "half_sgld"
        ...     max_step = 0.05
    """

    step_size: float | None = None
    name: ClassVar[str]
    order: ClassVar[Literal[1, 2]]
    max_step: ClassVar[float]
    full_batch: ClassVar[bool] = False
    target_accept: ClassVar[float | None] = None
    orthogonal: ClassVar[bool] = False
    noise_parts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.step_size is not None:
            check_positive("step_size", self.step_size)

    def heat(self, step_size: float, variance: float) -> float:
        """What noise of this variance in the gradient adds to the temperature of a direction.

        Called for samplers with `noise_parts` above 1 alone, of noise that they cannot correct for.
        """
        return 0.0

    @abstractmethod
    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> Any:
        """State at `position` `[C, d]`, which it copies."""

    @abstractmethod
    def step(
        self, generators: Sequence[Generator], state: Any, evaluate: Evaluate, step_size: float
    ) -> tuple[Any, Info]:
        """One step of all chains."""

    def metric(self, state: Any) -> Tensor | None:
        """The sampler's own diagonal preconditioner G `[C, d]`, if it adapts one in burn-in."""
        return None

    def freeze(self, state: Any) -> Any:
        """The state whose preconditioner adapts no more: called within burn-in, before draws."""
        return state


MEMBERS = [n for n in {**Sampler.__annotations__, **vars(Sampler)} if not n.startswith("_")]


def check_sampler(sampler: Sampler) -> None:
    """Raise InputError unless a sampler says all that a chain must know of it."""
    lacking = [name for name in MEMBERS if not hasattr(sampler, name)]
    if lacking:
        hint = f"it lacks {', '.join(lacking)}"
        raise InputError.of("sampler", sampler, "an instance of a rl_slt.Sampler class", hint)
    if sampler.order not in (1, 2):
        raise InputError.of(f"{sampler.name}.order", sampler.order, "1 or 2")
    check_positive(f"{sampler.name}.max_step", sampler.max_step)


def normal(like: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Standard normal `[C, d]`, each row from its chain's own generator."""
    noise = torch.empty_like(like)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def check_positive(name: str, value: float) -> None:
    """Raise InputError unless `value` is a positive finite number."""
    check_number(name, value, "a positive finite number", lambda x: 0 < x < float("inf"))


def check_number(
    name: str, value: float, allowed: str, inside: Callable[[float], bool], whole: bool = False
) -> None:
    """Raise InputError unless `value` is a number, or an integer, inside its bounds.

    Args:
        name: of the setting.
        value: that was given, of whatever type.
        allowed: what must be, in words.
        inside: whether a number is within the bounds.
        whole: whether it must be an integer.
    """
    kind: type = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not inside(value):
        raise InputError.of(name, value, allowed)
