"""Susceptibilities against what they are the slope of: the posterior with the data moved."""

import numpy as np
import pytest
import torch

from rl_slt import HMC, InputError, Settings, Tracing, estimate_with
from rl_slt.known.answers import Regression
from rl_slt.response.susceptibility import susceptibility, told_from_zero
from rl_slt.verdict.diagnostics import mean_stderr

N = 24
PROBLEM = Regression(n=N, d=3)
OTHER = torch.from_numpy(np.argsort(PROBLEM.residuals * PROBLEM.x[:, 0])[:8])  # pull w[0] down


def moved(share: float) -> np.ndarray:
    """Weights of the samples with a share of L' in the place of L `[N]`."""
    weights = np.full(N, 1 - share)
    weights[OTHER] += share * N / 8
    return weights


def test_the_closed_form_is_the_slope_of_the_exact_posterior() -> None:
    up, down = (PROBLEM.expected(moved(e)).mean() for e in (1e-4, -1e-4))
    exact = PROBLEM.susceptibility(OTHER.numpy())
    assert exact == pytest.approx((up - down) / 2e-4, rel=1e-4)


def test_it_is_what_sampling_with_the_data_moved_finds() -> None:
    """Of a weight, by covariances and by another posterior with a share of 0.1; and of the loss."""
    share, found = 0.1, []
    settings = Settings(
        nbeta=PROBLEM.nbeta, localization=PROBLEM.localization, sampler=HMC(), draws=400,
        burn_in=100,
    )  # fmt: skip
    wanted = Tracing(
        draws=400, sets={"other": PROBLEM.data.take(OTHER)},
        observables={"first": lambda module: float(module(torch.zeros(1, 3))[0, 0])},
    )  # fmt: skip
    tilted = PROBLEM.data.with_fields(weights=torch.from_numpy(moved(share)).float())
    for data in (PROBLEM.data, tilted):
        e = estimate_with(
            PROBLEM.policy, data, settings, PROBLEM.loss, traces=wanted, states_error=False
        )
        assert e.traces is not None
        found.append(e.traces)
    here, there = (t.observables["first"] for t in found)
    change, noise = there.mean() - here.mean(), np.hypot(mean_stderr(here), mean_stderr(there))
    exact = PROBLEM.posterior(moved(share))[0][0]
    assert abs(change - exact) < 4 * noise
    value, error, _ = susceptibility(found[0], "other", "first")
    # Of second order in the share, 2 % here, is the rest.
    assert abs(change / share - value) < 3 * np.hypot(noise / share, error)
    assert abs(value - exact / share) < 3 * error + 0.03 * abs(value)
    assert abs(value) > 8 * error
    of_loss, error, _ = susceptibility(found[0], "other")
    assert abs(of_loss - PROBLEM.susceptibility(OTHER.numpy())) < 4 * error


def test_an_unknown_observable_is_named() -> None:
    e = PROBLEM.estimate(HMC(), None, 0, {"other": PROBLEM.data}, draws=60, burn_in=60)
    assert e.traces is not None and e.status == "ok"
    with pytest.raises(InputError, match="observable='moon': must be one of loss"):
        susceptibility(e.traces, "other", "moon")


def test_there_is_none_where_the_verdict_is_not_ok() -> None:
    problem = Regression(n=12, d=3)
    problem.policy.w.data += 1.0
    e = problem.estimate(HMC(), None, 0, draws=50, burn_in=20)
    assert e.traces is not None
    with pytest.raises(InputError, match="no susceptibility: the estimate is failed"):
        susceptibility(e.traces, "states")


def test_several_are_told_from_zero_together() -> None:
    value, dof = np.array([4.0, 2.2, 2.2, 0.5]), np.full(4, 30.0)
    # p = 0.0004, 0.036, 0.036, 0.62: times 4, 3, 2, 1.
    assert told_from_zero(value, np.ones(4), dof).tolist() == [True, False, False, False]
    assert told_from_zero(value[:2], np.ones(2), dof[:2]).tolist() == [True, True]
    never = np.array([0.0, 4.0])  # the first never changes, and is told as no warning, either
    with np.errstate(all="raise"):
        assert told_from_zero(never, never / 4, dof[:2]).tolist() == [False, True]
    wrong = [
        told_from_zero(rng.standard_t(30, size=40), np.ones(40), np.full(40, 30.0)).any()
        for rng in map(np.random.default_rng, range(400))
    ]
    assert np.mean(wrong) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
