"""Estimates against exact values at the settings used."""

import math

import numpy as np
import pytest

from rl_slt import SGLD, LLCEstimate, estimate_llc
from rl_slt.known.problems import (
    PROBLEMS,
    Problem,
    quadratic,
    sgld_stationary,
    tabular,
)
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


def test_sgld_has_its_own_stationary_variance_on_a_quadratic() -> None:
    problem = quadratic(CURVATURES)
    step = 2e-3  # eps a = 0.8 in the stiffest direction: variance 25 % too large there
    truth = sgld_stationary(CURVATURES, problem.nbeta, 1.0, step)
    settings = {"burn_in": 500, "draws": 6000, "batch_size": len(problem.data)}
    e = estimate(problem, SGLD(step_size=step), **settings)
    assert e.step_size == step
    assert truth / problem.exact > 1.1
    assert abs(e.llc / truth - 1) < 0.02
    assert abs(e.llc - truth) < 4 * e.stderr


@pytest.mark.parametrize(
    "name", [pytest.param("crossing-1-1", marks=pytest.mark.slow), "crossing-1-2"]
)
def test_default_hits_a_crossing(name: str) -> None:
    problem = PROBLEMS[name]()
    e = estimate(problem, draws=1600, burn_in=200)
    assert e.status == "ok", e
    assert abs(e.llc - problem.exact) < 4 * e.stderr
    assert e.stderr < 0.08 * problem.exact


@pytest.mark.parametrize("name", ["soft-corridor", "tabular-grid"])
def test_exact_returns_have_their_known_llc(name: str) -> None:
    """Of two weights and of 36, whose posterior is a hundredth as wide as the localizer."""
    problem = PROBLEMS[name]()
    e = estimate(problem, chains=8, seed=1, gauge="none", draws=300, burn_in=150)
    assert e.status == "ok", e
    assert e.stderr < 0.06 * problem.exact
    assert abs(e.llc - problem.exact) < 3.5 * e.stderr


@pytest.mark.parametrize(
    "name", ["quadratic", "tabular-mixed", pytest.param("low-rank", marks=pytest.mark.slow)]
)
def test_default_hits_the_exact_value_of_each_seed(name: str) -> None:
    problem = PROBLEMS[name]()
    found = [estimate(problem, chains=16, seed=seed, states_error=False) for seed in range(3)]
    for e in found:
        assert e.status == "ok", e
        assert e.stderr < 0.02 * problem.exact
        assert abs(e.llc - problem.exact) < 3.5 * math.hypot(e.stderr, problem.exact_error)
    assert abs(np.mean([e.llc for e in found]) / problem.exact - 1) < 0.03


def test_reduced_rank_regression() -> None:
    problem = PROBLEMS["reduced-rank"]()
    e = estimate(problem, draws=250, burn_in=150)
    assert e.status == "ok", e
    assert abs(e.llc / problem.exact - 1) < 0.03


@pytest.mark.filterwarnings("ignore::rl_slt.errors.ConvergenceWarning")  # few draws
def test_zero_baseline_of_self_kl_is_exact() -> None:
    e = estimate(tabular(), draws=50, burn_in=10)
    assert e.loss_init == 0.0
    assert (e.draws["loss_at_center"] == 0).all()
