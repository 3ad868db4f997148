"""The likelihood against a dense Gaussian one."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from synthetic_series import ar1

from analysis.transitions.noise import fit_design, log_volume, prewhiten
from analysis.transitions.points import Axis, Points
from analysis.transitions.segments import best_segments, segment_costs

INDEX = np.array([0.0, 1, 2, 4, 5, 9, 10, 11, 12, 13])


@pytest.mark.parametrize("phi", [0.0, 0.4, 0.9])
def test_prewhitened_likelihood_is_the_dense_one(phi: float) -> None:
    y = np.random.default_rng(1).standard_normal(len(INDEX))
    covariance = phi ** np.abs(INDEX[:, None] - INDEX[None, :])
    e = prewhiten(y[:, None], phi, np.diff(INDEX))[:, 0]
    ours = log_volume(phi, np.diff(INDEX)) - 0.5 * e @ e - 0.5 * len(y) * np.log(2 * np.pi)
    dense = multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)
    assert ours == pytest.approx(dense, abs=1e-9)


def test_fit_is_generalised_least_squares() -> None:
    rng = np.random.default_rng(2)
    scale = rng.uniform(1, 3, len(INDEX))
    y = 2.0 + scale * rng.standard_normal(len(INDEX))
    points = Points(INDEX, scale, INDEX, y, np.zeros_like(y), INDEX)
    fit = fit_design(points, np.ones((len(y), 1)), cap=0.0)
    weight = scale**-2.0
    assert fit.coefficients[0] == pytest.approx(np.sum(weight * y) / weight.sum())
    assert fit.covariance[0, 0] == pytest.approx(fit.sigma**2 / weight.sum())


def test_noise_level_is_never_below_the_points_errors() -> None:
    y = np.random.default_rng(3).standard_normal(len(INDEX))
    points = Points(INDEX, np.ones_like(y), INDEX, y, np.full_like(y, 7.0), INDEX)
    assert fit_design(points, np.ones((len(y), 1)), cap=0.9).sigma == 7.0


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_segment_costs_are_least_squares(phi: float) -> None:
    rng = np.random.default_rng(4)
    axis = Axis(INDEX, rng.uniform(1, 2, len(INDEX)))
    y = rng.standard_normal((3, len(INDEX)))
    costs = segment_costs(y, axis, phi)
    for a, b in [(0, 10), (2, 5), (4, 6), (3, 10)]:
        e = prewhiten((y[:, a:b] / axis.scale[a:b]).T, phi, axis.gaps[a : b - 1])
        one = prewhiten(1 / axis.scale[a:b, None], phi, axis.gaps[a : b - 1])
        left = e - one @ np.linalg.lstsq(one, e, rcond=None)[0]
        assert costs[:, a, b] == pytest.approx(np.sum(left**2, axis=0))
    assert np.all(np.isinf(costs[:, 3, 4]))


def test_best_segments_finds_the_changes_of_a_clean_signal() -> None:
    y = np.array([0.0] * 8 + [5.0] * 7 + [-2.0] * 9) + 0.01 * ar1(np.random.default_rng(0), 24, 0.0)
    index = np.arange(24.0)
    axis = Axis(index, np.ones(24))
    logs, where = best_segments(y[None], axis)
    assert where[0, 1, :2].tolist() == [15, 8]
    assert logs[0, 1] - logs[0, 0] > 50
