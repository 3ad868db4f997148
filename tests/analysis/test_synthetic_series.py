"""The synthetic series hold what they claim."""

import numpy as np
import pytest
from synthetic_series import ar1, learning_curve, log_steps, spoil, steps_in_noise


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_ar1_has_its_correlation_and_unit_variance(phi: float) -> None:
    noise = ar1(np.random.default_rng(0), 50, phi, size=20_000)
    assert noise.var() == pytest.approx(1.0, abs=0.03)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(phi, abs=0.03)
    assert noise[:, 0].var() == pytest.approx(1.0, abs=0.03)  # stationary from the start


def test_steps_are_planted_where_they_say() -> None:
    with_step = steps_in_noise(np.random.default_rng(1), 60, ((20, 4.0),), 0.5)
    without = steps_in_noise(np.random.default_rng(1), 60, (), 0.5)
    difference = with_step.values - without.values
    assert difference[:20] == pytest.approx(0.0)
    assert difference[20:] == pytest.approx(4.0)
    assert with_step.changes == ((20, 4.0),)


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_steps_start_at_zero_and_rise(rng: np.random.Generator | None) -> None:
    steps = log_steps(60, rng=rng)
    assert steps[0] == 0
    assert steps[-1] == 1e6
    assert np.all(np.diff(steps) > 0)


def test_spoiling_takes_points_and_says_so() -> None:
    signal = steps_in_noise(np.random.default_rng(2), 1000)
    bad = spoil(np.random.default_rng(3), signal)
    assert 0.05 < np.isnan(bad.values).mean() < 0.11
    far = np.abs(bad.values - signal.values) > 1e-9
    assert np.all(bad.stderr[far] == 30.0)
    assert 0.02 < far.mean() < 0.08


def test_learning_curves_rise_by_one() -> None:
    curve = learning_curve(np.random.default_rng(4), 200, noise=0.0)
    assert curve[-1] - curve[0] == pytest.approx(1.0, abs=0.2)
    assert np.all(np.diff(curve) >= 0)
