"""Intervals against published values and exact posteriors."""

import numpy as np
import pytest
from scipy.stats import beta

from analysis.probes.intervals import mean_interval, quantile_interval, rate_draws, wilson


def test_wilson_against_published_values() -> None:
    # Newcombe 1998 (Stat. Med. 17, 857), table I, method 3: 81/263 and 15/148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("hits", [0, 3, 15, 30])
def test_each_rate_is_close_to_jeffreys(hits: int) -> None:
    outcomes = np.zeros((30, 2))
    outcomes[:hits, 0] = 1
    draws = rate_draws(outcomes, 20_000)[:, 0]
    exact = beta(hits + 0.5, 30 - hits + 0.5)
    for q in (0.05, 0.5, 0.95):
        assert np.quantile(draws, q) == pytest.approx(exact.ppf(q), abs=0.012)


def test_pairing_is_kept() -> None:
    column = (np.arange(40) % 2).astype(float)
    draws = rate_draws(np.stack([column, column, 1 - column], axis=1))
    assert np.std(draws[:, 0] - draws[:, 1]) < 0.2 * np.std(draws[:, 0] - draws[:, 2])


def test_mean_interval_is_students() -> None:
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)
    assert all(np.isnan(mean_interval(np.array([1.0]))))


def test_quantile_interval_holds_the_estimate() -> None:
    assert quantile_interval(np.linspace(0.1, 0.2, 11), 0.0)[0] == 0.0
    assert all(np.isnan(quantile_interval(np.array([np.nan]), 0.5)))
