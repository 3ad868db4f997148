"""Influences against closed forms: the covariance of a Gaussian posterior, and reweighting."""

import numpy as np
import pytest

from rl_slt import HMC, InputError
from rl_slt.known.answers import Regression
from rl_slt.response.covariance import covariance
from rl_slt.response.influence import influence


def chi_squares(rho: float, draws: int, many: int, seed: int = 0) -> np.ndarray:
    """Independent losses `[4, T, many]`: squares of autoregressive Gaussians."""
    rng = np.random.default_rng(seed)
    z, rows = rng.normal(size=(4, many)), []
    for _ in range(draws):
        z = rho * z + np.sqrt(1 - rho**2) * rng.normal(size=z.shape)
        rows.append(z**2)
    return np.stack(rows, axis=1)


@pytest.mark.parametrize(("rho", "draws"), [(0.0, 24), (0.5, 50), (0.8, 200)])
def test_as_many_are_told_from_zero_as_chance_allows(rho: float, draws: int) -> None:
    x = chi_squares(rho, draws, 240)
    found = covariance(x[..., :80], x[..., 80:])
    assert 0.04 < (found.p_value < 0.05).mean() < 0.07
    assert found.distinct().mean() < 1e-3
    assert abs(found.correlation).mean() < 0.15


def test_a_covariance_is_within_its_errors_of_the_truth() -> None:
    """Of `x_i = z_0^2 + z_i^2`, where all pairs share the variance 2 of z_0^2."""
    z = chi_squares(0.5, 200, 101)
    x = z[..., 1:] + z[..., :1]
    found = covariance(x[..., :50], x[..., 50:])
    one = chi_squares(0.5, 200, 1)
    alone = covariance(one, one)
    assert alone.value[0, 0] == pytest.approx(one.var(), rel=0.01)
    assert alone.correlation[0, 0] == pytest.approx(1.0)
    z_score = (found.value - 2) / found.stderr
    assert abs(z_score.mean()) < 2 and found.distinct().mean() > 0.95
    assert found.dof == 4 * 8 - 1


@pytest.mark.parametrize("stuck", [1, 2])
def test_chains_that_stay_apart_have_no_error(stuck: int) -> None:
    """Two independent losses that are high in the same chains: told from zero, blocks would say."""
    x = chi_squares(0.5, 50, 6)
    x[:stuck, :, [0, 3]] += 5.0
    found = covariance(x[..., :3], x[..., 3:])
    known = np.isfinite(found.p_value)
    assert known[1:, 1:].all() and not known[0].any() and not known[:, 0].any()
    assert not found.distinct().any()
    apart = [covariance(y, y) for y in (chi_squares(0.5, 50, 400, seed) for seed in range(3))]
    assert np.mean([np.isnan(np.diag(one.stderr)).mean() for one in apart]) < 0.005


def test_what_never_changes_has_no_influence() -> None:
    x = chi_squares(0.0, 20, 3)
    x[..., 0] = 1.0
    found = covariance(x[..., :1], x)
    assert not found.distinct().any() and np.isnan(found.correlation).all()
    with pytest.raises(InputError, match="draws=8: must be at least 16 of each chain"):
        covariance(x[:, :8], x[:, :8])


def test_the_closed_form_is_what_reweighting_does() -> None:
    """`d E[l_j] / d v_i = -nbeta / n Cov(l_i, l_j)`, by differences of the exact posterior."""
    problem = Regression(n=12, d=3)
    exact = problem.covariance()
    for i in (0, 5):
        up, down = (np.ones(12) + sign * 1e-4 * (np.arange(12) == i) for sign in (1, -1))
        slope = (problem.expected(up) - problem.expected(down)) / 2e-4
        np.testing.assert_allclose(-problem.nbeta / 12 * exact[i], slope, rtol=1e-5, atol=1e-8)


def test_sampled_influences_are_the_exact_ones() -> None:
    """Of all pairs at once: as far from them as their errors say, and the strong ones are told."""
    problem = Regression(n=16, d=3)
    sets = {"probe": problem.data.take(slice(0, 6))}
    e = problem.estimate(HMC(), None, 0, sets, draws=400, burn_in=100)
    assert e.status == "ok" and e.traces is not None
    found, exact = influence(e.traces, "probe"), problem.covariance()[:6]
    z = (found.pairs.value - exact) / found.pairs.stderr
    assert 0.7 < z.std() < 1.4 and abs(z).max() < 5
    strong = abs(exact) > np.quantile(abs(exact), 0.8)
    assert found.distinct[strong].mean() > 0.9
    np.testing.assert_allclose(
        found.pairs.correlation[strong],
        (exact / np.sqrt(np.outer(np.diag(exact), np.diag(problem.covariance()))))[strong],
        atol=0.2,
    )
    table = found.table()
    assert table["influence"].is_monotonic_increasing and len(table) == 16
    more = np.ones(16) + 1e-4 * (np.arange(16) == table["state"][0])
    slope = (problem.expected(more) - problem.expected())[:6].mean() / 1e-4
    error = problem.nbeta / 16 * table["stderr"][0]
    assert abs(table["response"][0] - slope) < 4 * error < 0.5 * abs(slope)
    lines = found.summary()
    assert "of 16 have p < 0.05, where 1 would by chance" in lines[0]
    assert "of 96 have p < 0.05, where 5 would by chance" in lines[1]


def test_there_is_none_where_the_verdict_is_not_ok() -> None:
    problem = Regression(n=12, d=3)
    problem.policy.w.data += 1.0  # no minimum
    e = problem.estimate(HMC(), None, 0, draws=50, burn_in=20)
    assert e.status == "failed" and e.traces is not None
    with pytest.raises(InputError, match="no influence: the estimate is failed: w"):
        influence(e.traces, "states")
