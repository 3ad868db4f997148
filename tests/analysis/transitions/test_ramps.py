"""Sizes and errors of ramps against dense linear algebra and against simulation."""

import numpy as np
import pytest
from scipy import stats
from synthetic_series import ar1

from analysis.transitions.ramps import MAX_PHI, WORKING, Model, build_ramps

INDEX = np.array([0.0, 1, 2, 4, 5, 9, 10, 11, 12, 13])
BASE = np.ones((10, 1))


def test_shares_of_the_error_rate_add_up_to_one() -> None:
    for m in (6, 12, 60):
        ramps = build_ramps(np.arange(float(m)))
        assert np.sum(ramps.share) == pytest.approx(1.0) == np.sum(ramps.prior)
        assert len(set(zip(ramps.begin, ramps.end, strict=True))) == len(ramps.begin)
        assert (ramps.begin[-1], ramps.end[-1]) == (0, m - 1)


def test_known_errors_give_generalized_least_squares_and_the_largest_error() -> None:
    rng = np.random.default_rng(0)
    y, scale = rng.standard_normal(10), rng.uniform(0.5, 3, 10)
    ramps = build_ramps(INDEX)
    sizes = Model(INDEX, y, scale).measure(BASE, ramps.columns)
    apart = np.abs(INDEX[:, None] - INDEX)
    inverse = np.linalg.inv((WORKING * MAX_PHI) ** apart * np.outer(scale, scale))
    for k in (0, 7, len(ramps.begin) - 1):
        x = np.column_stack([BASE, ramps.columns[:, k]])
        fit = np.linalg.inv(x.T @ inverse @ x) @ x.T @ inverse
        assert sizes.size[k] == pytest.approx((fit @ y)[1])
        errors = [np.sqrt((fit @ (phi**apart * np.outer(scale, scale)) @ fit.T)[1, 1])
                  for phi in np.linspace(0, MAX_PHI, 5)]  # fmt: skip
        assert sizes.stderr[k] == pytest.approx(max(errors))


def test_without_known_errors_a_step_has_the_error_of_welch() -> None:
    """At phi 0 the squared error is `s_1^2 / n_1 + s_2^2 / n_2`, with one degree less than n_1."""
    y = np.random.default_rng(1).standard_normal(10)
    index = 1000.0 * np.arange(10)  # so far apart that no correlation is left
    column = (np.arange(10) >= 4).astype(float)[:, None]
    sizes = Model(index, y, np.ones(10), np.zeros(10)).measure(BASE, column)
    assert sizes.size[0] == pytest.approx(y[4:].mean() - y[:4].mean())
    welch = stats.ttest_ind(y[4:], y[:4], equal_var=False)
    assert sizes.size[0] / sizes.stderr[0] == pytest.approx(welch.statistic)
    assert sizes.freedom[0] == pytest.approx(3.0)


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_the_simulated_p_value_is_exact_enough(phi: float) -> None:
    """Between Bonferroni's and 0, and uniform or larger in series without change."""
    index, one = np.arange(12.0), np.ones((12, 1))
    ramps = build_ramps(index)
    found = []
    for y in ar1(np.random.default_rng(2), 12, phi, size=200):
        model = Model(index, y, np.ones(12))
        sizes = model.measure(one, ramps.columns)
        bound = float(np.min(sizes.p_values() / ramps.share))
        found.append(model.exact(sizes, ramps.share, bound))
        assert 0 < found[-1] <= bound
    assert np.mean(np.array(found) <= 0.2) <= 0.29  # three standard errors
