"""A user's own sampler, derived from one of ours or written from nothing, is adapted soundly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor

from rl_slt import BAOAB, HMC, SGLD, InputError, Sampler, estimate_llc
from rl_slt.known.problems import quadratic
from rl_slt.samplers.base import Evaluate, Info, normal
from tests.rl_slt.gaussian import gaussian, variance

DIM, NBETA = 40, 99.0
STIFF = (1.0,) * DIM  # curvature of the energy: 99 + 1 in every direction


@dataclass(frozen=True)
class Renamed(SGLD):
    name = "my_sgld"


@dataclass(frozen=True)
class RenamedBAOAB(BAOAB):
    name = "my_baoab"


class Position(NamedTuple):
    position: Tensor


@dataclass(frozen=True)
class Euler(Sampler):
    """The Euler-Maruyama step of the Langevin equation, written from nothing."""

    name = "euler"
    order = 1
    max_step = 0.05

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> Any:
        return Position(position.clone())

    def step(
        self, generators: Sequence[Generator], state: Any, evaluate: Evaluate, step_size: float
    ) -> tuple[Any, Info]:
        here = evaluate(state.position)
        noise = normal(state.position, generators)
        moved = state.position - step_size * here.grad + (2 * step_size) ** 0.5 * noise
        return Position(moved), Info(here, torch.ones_like(here.loss))


class Moving(NamedTuple):
    position: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class Leapfrog(Sampler):
    """Full velocity refreshment and one leapfrog step without a test: second order."""

    name = "leapfrog"
    order = 2
    max_step = 0.25

    def init(self, position: Tensor, evaluate: Evaluate, generators: Sequence[Generator]) -> Any:
        return Moving(position.clone(), normal(position, generators))

    def step(
        self, generators: Sequence[Generator], state: Any, evaluate: Evaluate, step_size: float
    ) -> tuple[Any, Info]:
        here, velocity = evaluate(state.position), normal(state.position, generators)
        velocity = velocity - step_size / 2 * here.grad
        moved = state.position + step_size * velocity
        return Moving(moved, velocity), Info(here, torch.ones_like(here.loss))


@pytest.mark.parametrize(
    ("sampler", "product", "inflation"),
    [  # the largest step allowed, and the variance on a Gaussian with step * curvature so large
        (Renamed(), 0.1, 1 / (1 - 0.1 / 4)),
        (Euler(), 0.05, 1 / (1 - 0.05 / 2)),
        (RenamedBAOAB(), 1.0, 1.0),
        (Leapfrog(), 0.25, 1 / (1 - 0.25 / 4)),
    ],
    ids=lambda v: v.name if isinstance(v, Sampler) else "",
)
def test_an_own_sampler_gets_the_step_that_it_can_take(
    sampler: Sampler, product: float, inflation: float
) -> None:
    problem = quadratic(STIFF, nbeta=NBETA)
    e = estimate_llc(
        problem.policy, problem.data, loss=problem.loss, sampler=sampler, nbeta=NBETA,
        draws=1500, burn_in=300,
    )  # fmt: skip
    assert e.sampler == sampler.name
    assert e.step_size == pytest.approx((product / 100) ** (1 / sampler.order), rel=0.02)
    assert abs(e.llc / (problem.exact * inflation) - 1) < 0.02
    assert e.stderr < 0.02 * e.llc


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")  # few draws
@pytest.mark.parametrize("sampler", [Renamed(), Euler(), RenamedBAOAB(), Leapfrog()])
def test_an_own_sampler_heeds_the_noise_of_batches(sampler: Sampler) -> None:
    """In preconditioned coordinates of curvature about 1 its product alone would allow more."""
    problem = quadratic((1.0,) * DIM, nbeta=0.01)
    e = estimate_llc(
        problem.policy, problem.data, loss=problem.loss, sampler=sampler, nbeta=0.01,
        draws=20, burn_in=4,
    )  # fmt: skip
    assert e.step_size <= (0.1 if sampler.order == 1 else 0.3)


def test_the_tests_own_samplers_are_what_they_claim() -> None:
    """Their variance on a Gaussian, without any adaptation."""
    ones = gaussian(torch.ones(2000))
    assert abs(variance(Euler(), ones, 2000, 80, 0.2, 40).mean() * (1 - 0.1) - 1) < 0.01
    assert abs(variance(Leapfrog(), ones, 2000, 80, 0.5, 40).mean() * (1 - 0.0625) - 1) < 0.01


class Unfinished:
    name, full_batch, step_size = "unfinished", False, None


def test_a_sampler_that_does_not_say_enough_is_refused() -> None:
    problem = quadratic((1.0,))
    with pytest.raises(InputError, match=r"an instance of a rl_slt.Sampler class; it lacks order,"):
        estimate_llc(
            problem.policy, problem.data, loss=problem.loss,
            sampler=Unfinished(),  # type: ignore[arg-type]
        )  # fmt: skip


def test_the_old_keyword_of_hmc_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="spread is deprecated; it is now called step_jit"):
        assert HMC(spread=3.0) == HMC(step_jitter=3.0)  # type: ignore[call-arg]
