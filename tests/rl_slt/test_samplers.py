"""Every sampler against closed forms on Gaussians; tolerances are fixed, not the sampler's own."""

from typing import Any

import pytest
import torch
from torch import Generator

from rl_slt import HMC, MALA, SGLD, SGNHT, InputError, RMSpropSGLD
from rl_slt.samplers import SAMPLERS
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler
from tests.rl_slt.gaussian import gaussian, variance

MANY = 2000  # equal coordinates: each is a sample, so 4 chains give variances to about 1 %


@pytest.mark.parametrize("eps", [0.4, 1.0])
def test_sgld_has_the_variance_of_its_step_size(eps: float) -> None:
    found = variance(SGLD(), gaussian(torch.ones(MANY)), MANY, 80, eps, 40).mean()
    assert abs(found / (4 / (4 - eps)) - 1) < 0.01


@pytest.mark.parametrize("precision", [0.25, 1.0, 4.0])
def test_baoab_is_exact_at_a_large_step(precision: float) -> None:
    evaluate = gaussian(torch.full((MANY,), precision))
    found = variance(BAOAB(), evaluate, MANY, 200, 0.8, 100).mean() * precision
    assert abs(found - 1) < 0.02


def test_gradient_noise_inflates_sgld_and_the_thermostat_corrects_it() -> None:
    ones, noise = torch.ones(MANY), 1.5
    inflated = variance(SGLD(), gaussian(ones, noise), MANY, 120, 0.4, 60).mean()
    assert abs(inflated / ((1 + 0.1 * noise**2) * 4 / 3.6) - 1) < 0.02
    corrected = variance(SGNHT(), gaussian(ones, noise), MANY, 500, 0.15, 300).mean()
    without = variance(BAOAB(friction=1.0), gaussian(ones, noise), MANY, 400, 0.15, 200).mean()
    assert without > 1.1
    assert abs(corrected - 1) < 0.02


def test_thermostat_applies_its_friction() -> None:
    found = variance(SGNHT(), gaussian(torch.ones(MANY)), MANY, 500, 0.2, 250).mean()
    assert abs(found - 1) < 0.02  # 0.02 where the correction is computed and not applied


def test_a_frozen_preconditioner_keeps_the_distribution() -> None:
    precision = torch.tensor([1.0, 100.0]).repeat_interleave(MANY // 2)
    sampler = RMSpropSGLD()
    found = variance(sampler, gaussian(precision), MANY, 1600, 0.01, 600) * precision
    soft, stiff = found[: MANY // 2].mean(), found[MANY // 2 :].mean()
    assert abs(soft - 1) < 0.03
    # G of the stiff half is about 0.2: its own step-size factor, nothing else
    generators = [Generator().manual_seed(0)]
    state = sampler.init(torch.zeros(1, MANY), gaussian(precision), generators)
    assert torch.allclose(sampler.metric(state).mean(), torch.ones(()))
    assert 0 < stiff - 1 < 0.2


def test_preconditioner_moves_in_burn_in_only() -> None:
    sampler, generators = RMSpropSGLD(), [Generator().manual_seed(0)]
    evaluate = gaussian(torch.tensor([1.0, 100.0]))
    state = sampler.init(torch.ones(1, 2), evaluate, generators)
    state, _ = sampler.step(generators, state, evaluate, 1e-3)
    adapted = state.square.clone()
    assert not torch.equal(adapted, torch.ones(1, 2))
    state = sampler.freeze(state)
    state, _ = sampler.step(generators, state, evaluate, 1e-3)
    assert torch.equal(state.square, adapted)


@pytest.mark.parametrize(
    ("sampler", "step"),
    [
        (MALA(), 0.6),
        (HMC(leapfrog=4), 0.5),
        (HMC(leapfrog=4, rotate=True), 0.5),
    ],
    ids=["mala", "hmc", "hmc-rotating"],
)
def test_metropolis_samplers_are_exact(sampler: Sampler, step: float) -> None:
    precision = torch.tensor([1.0, 4.0]).repeat(4)
    found = variance(sampler, gaussian(precision), 8, 3000, step, 100) * precision
    assert abs(found[::2].mean() - 1) < 0.04
    assert abs(found[1::2].mean() - 1) < 0.04


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_protocol(name: str) -> None:
    """Chains use their own noise, are reproducible, and report the loss they stepped from."""
    sampler, evaluate = SAMPLERS[name](), gaussian(torch.ones(3))
    torch.manual_seed(0)
    before = torch.get_rng_state()

    def walk() -> torch.Tensor:
        generators = [Generator().manual_seed(c) for c in (5, 6)]
        state = sampler.init(torch.ones(2, 3), evaluate, generators)
        seen = []
        for _ in range(20):
            start = state.position.clone()
            state, info = sampler.step(generators, state, evaluate, 0.3)
            at = state.position if sampler.full_batch else start
            assert torch.allclose(info.evaluation.loss, evaluate(at).loss)
            assert info.accept.shape == (2,)
            seen.append(state.position.clone())
        return torch.stack(seen)

    first, second = walk(), walk()
    assert torch.equal(first, second)
    assert not torch.allclose(first[-1, 0], first[-1, 1])
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(InputError, match="step_size=-1"):
        SAMPLERS[name](step_size=-1)


def test_hmc_leaves_places_that_are_too_narrow_for_its_longest_step() -> None:
    evaluate, start = gaussian(torch.full((2,), 900.0)), torch.full((4, 2), 0.033)

    def accepted(step_jitter: float) -> torch.Tensor:
        sampler, generators = (
            HMC(step_jitter=step_jitter),
            [Generator().manual_seed(c) for c in range(4)],
        )
        state, rates = sampler.init(start, evaluate, generators), []
        for _ in range(60):
            state, info = sampler.step(generators, state, evaluate, 0.3)  # leapfrog breaks at 0.067
            rates.append(info.accept)
        return torch.stack(rates)

    assert accepted(1.0).max() < 0.1
    some = accepted(10.0)
    assert (some.mean(0) > 0.1).all()  # each chain
    assert some.std(1).mean() > 0.1  # by steps of its own
    with pytest.raises(InputError, match=r"step_jitter=0\.5"):
        HMC(step_jitter=0.5)


@pytest.mark.parametrize(
    ("sampler", "name", "value", "allowed"),
    [
        (SGLD, "step_size", "a", "a positive finite number"),
        (SGLD, "step_size", True, "a positive finite number"),
        (HMC, "leapfrog", 1.5, "an integer at least 1"),
        (HMC, "leapfrog", "8", "an integer at least 1"),
        (HMC, "step_jitter", None, "a finite number at least 1"),
        (RMSpropSGLD, "decay", "a", "a number between 0 and 1"),
        (RMSpropSGLD, "floor", None, "a positive finite number"),
        (SGNHT, "mass", None, "a positive finite number"),
        (BAOAB, "friction", "a", "a positive finite number"),
    ],
)
def test_a_setting_of_a_sampler_is_refused_in_one_form(
    sampler: Any, name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(InputError) as caught:
        sampler(**{name: value})
    assert str(caught.value) == f"{name}={value!r}: must be {allowed}"
