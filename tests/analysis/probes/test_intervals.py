"""Intervals against published values and exact posteriors."""

import numpy as np
import pytest
from scipy.stats import beta, ttest_ind

from analysis.probes.intervals import (
    crossed_interval,
    mean_interval,
    quantile_interval,
    rate_draws,
    wilson,
)


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
    assert all(np.isnan(mean_interval(np.full(20, 500.0))))  # all at the time limit


def test_quantile_interval_holds_the_estimate() -> None:
    assert quantile_interval(np.linspace(0.1, 0.2, 11), 0.0)[0] == 0.0
    assert all(np.isnan(quantile_interval(np.array([np.nan]), 0.5)))


def test_changes_over_seeds_and_levels_cover_the_planted_one() -> None:
    """Seeds and levels differ widely, in both arms alike; how much an arm changes differs by both.

    Each study draws five seeds and 100 levels of its own. The interval holds the truth as often as
    it says; Welch's is wider; Student's over the seeds alone takes the levels for all there are.
    """
    rng, truth, n = np.random.default_rng(0), 0.12, 400
    held, widths = np.zeros(3), np.zeros(3)
    for _ in range(n):
        level = np.where(rng.random(100) < 0.5, 0.25, -0.25)
        seed = rng.normal(0, 0.08, (5, 1)).clip(-0.16, 0.16)
        first = 0.5 + 0.8 * level + seed
        change = truth + 0.7 * level * rng.choice([-1, 1]) + rng.normal(0, 0.02, (5, 1))
        hits = [rng.random((5, 100)) < p for p in (first, first + change)]
        one, two = (hit.mean(axis=1) for hit in hits)
        welch = ttest_ind(two, one, equal_var=False).confidence_interval()
        found = (
            crossed_interval(1.0 * hits[1] - hits[0]),
            (welch.low, welch.high),
            mean_interval(two - one),
        )
        for i, (low, high) in enumerate(found):
            held[i] += low <= truth <= high
            widths[i] += (high - low) / n
    coverage = held / n
    assert 0.925 < coverage[0] < 0.985  # 0.95 with an error of 0.011
    assert widths[0] < 0.85 * widths[1]
    assert coverage[2] < 0.925


def test_one_seed_or_one_level_has_no_interval_over_both() -> None:
    assert np.isnan(crossed_interval(np.zeros((1, 9)))).all()
    assert np.isnan(crossed_interval(np.zeros((9, 1)))).all()
    assert crossed_interval(np.zeros((3, 4))) == (0, 0)
