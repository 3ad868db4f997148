"""Estimates against exact values at the settings used."""

import pytest
import torch

from rl_slt import HMC, SGLD, LLCEstimate, estimate_llc
from rl_slt.known.crossing import crossing
from rl_slt.known.problem import Problem
from rl_slt.known.quadratic import quadratic, sgld_stationary
from rl_slt.known.reduced_rank import reduced_rank, reduced_rank_limit
from rl_slt.known.tabular import tabular
from rl_slt.samplers.base import Sampler

CURVATURES = (4.0, 2.0, 1.0, 0.5, 0.0)


def estimate(problem: Problem, sampler: Sampler | None = None, **settings: object) -> LLCEstimate:
    return estimate_llc(
        problem.policy,
        problem.data,
        loss=problem.loss,
        nbeta=problem.nbeta,
        localization=problem.localization,
        sampler=sampler,
        **settings,  # type: ignore[arg-type]
    )


def test_sgld_has_its_own_stationary_law_on_a_quadratic() -> None:
    problem = quadratic(CURVATURES)
    step = 2e-3  # eps a = 0.8 in the stiffest direction: 25 % hot there
    truth = sgld_stationary(CURVATURES, problem.nbeta, 1.0, step)
    settings = {"burn_in": 500, "draws": 8000, "batch_size": len(problem.data)}
    e = estimate(problem, SGLD(step_size=step), **settings)
    assert e.step_size == step
    assert truth / problem.exact > 1.1
    assert abs(e.llc / truth - 1) < 0.02
    assert abs(e.llc - truth) < 4 * e.stderr


@pytest.mark.parametrize(
    "problem",
    [quadratic(CURVATURES), crossing((1, 1)), crossing((1, 2)), tabular()],
    ids=lambda p: p.name,
)
def test_default_hits_the_exact_value(problem: Problem) -> None:
    e = estimate(problem, draws=1000, burn_in=200)
    assert e.status == "ok", e
    assert abs(e.llc - problem.exact) < 4 * e.stderr
    assert e.stderr < 0.08 * problem.exact


def test_reduced_rank_regression() -> None:
    problem = reduced_rank((10, 6, 10, 4), exact=36.6, exact_error=0.1)
    e = estimate(problem, sampler=HMC(leapfrog=12))
    assert e.status == "ok", e
    assert abs(e.llc / 36.6 - 1) < 0.03


@pytest.mark.parametrize(
    ("sizes", "value"),
    [((10, 6, 10, 4), 37.5), ((5, 3, 5, 0), 6.5), ((5, 4, 5, 0), 8), ((5, 3, 5, 2), 9.5)],
)
def test_reduced_rank_formula(sizes: tuple[int, int, int, int], value: float) -> None:
    assert reduced_rank_limit(*sizes) == value


def test_zero_baseline_of_self_kl_is_exact() -> None:
    e = estimate(tabular(), draws=50, burn_in=10)
    assert e.loss_init == 0.0
    assert (e.draws["loss_start"] == 0).all()


def test_policy_and_global_random_state_are_unchanged() -> None:
    problem = tabular()
    problem.policy.train()
    before = problem.policy.logits.detach().clone()  # type: ignore[union-attr,operator]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    estimate(problem, draws=20, burn_in=10)
    assert torch.equal(problem.policy.logits, before)  # type: ignore[arg-type]
    assert problem.policy.training
    assert torch.equal(torch.get_rng_state(), state)
