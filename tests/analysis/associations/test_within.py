"""Association within a run: nulls hold, planted links and lags are found."""

from collections.abc import Callable

import numpy as np
import pytest
from synthetic_series import ar1, learning_curve, random_walk, sigmoid

from analysis.associations.within import (
    best_lag,
    coincidence,
    curve_lag,
    detrended_ranks,
    effective_size,
    shift_test,
    within_run,
)

N = 60
NONE = np.empty(0)
KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "white": lambda rng: ar1(rng, N, 0.0),
    "AR(1)": lambda rng: ar1(rng, N, 0.9),
    "random walk": lambda rng: random_walk(rng, N),
    "learning curve": lambda rng: learning_curve(rng, N, 0.02),
    "smooth curve": lambda rng: learning_curve(rng, N, 0.0),
    "middle at half time": lambda rng: (
        sigmoid(N, rng.uniform(24, 36), rng.uniform(1, 5)) + 0.02 * ar1(rng, N, 0.0)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_independent_series_are_rarely_significant(kind: str) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        x, y = KINDS[kind](rng), KINDS[kind](rng)
        hits += shift_test(detrended_ranks(x), detrended_ranks(y))[1] <= 0.05
    assert hits <= 25  # 2 % of draws at a true rate of 5.5 %


def test_levels_would_be_called_significant() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        x, y = (KINDS["learning curve"](rng) for _ in range(2))
        hits += shift_test(x - x.mean(), y - y.mean())[1] <= 0.05
    assert hits / 200 > 0.2  # so the detrending above is what does it


def test_shared_changes_are_found_beneath_unlinked_courses() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(50):
        shared = ar1(rng, N, 0.0)
        x, y = (
            learning_curve(rng, N, 0.0) + 0.05 * (shared + 0.7 * ar1(rng, N, 0.0)) for _ in range(2)
        )
        hits += shift_test(detrended_ranks(x), detrended_ranks(y))[1] <= 0.05
    assert hits >= 45


@pytest.mark.parametrize("lag", [-4, 0, 3])
def test_planted_lags_are_recovered(lag: int) -> None:
    rng = np.random.default_rng(2)
    curves, walks = [], []
    for _ in range(30):
        middle = rng.uniform(20, 40)
        x = sigmoid(N, middle, 1.5) + 0.03 * ar1(rng, N, 0.0)
        y = sigmoid(N, middle + lag, 1.5) + 0.03 * ar1(rng, N, 0.0)
        curves.append(curve_lag(x, y))
        z = random_walk(rng, N + 20)
        x, y = z[10 : 10 + N], z[10 - lag : 10 - lag + N] + 0.5 * ar1(rng, N, 0.0)
        walks.append(best_lag(detrended_ranks(x), detrended_ranks(y), 5))
    for found in (curves, walks):
        assert np.mean([abs(f.lag - lag) <= 1 for f in found]) >= 0.9
        assert np.mean([f.low <= lag <= f.high for f in found]) >= 0.9


def test_p_value_counts_the_shifts() -> None:
    rng = np.random.default_rng(3)
    x, y = ar1(rng, 30, 0.0), ar1(rng, 30, 0.0)
    by_hand = [float(x @ np.roll(y, -s)) for s in range(30)]
    value, p = shift_test(x, y)
    assert value == pytest.approx(by_hand[0])
    larger = sum(abs(b) >= abs(by_hand[0]) for b in by_hand[1:])
    assert p == (1 + larger) / 30
    assert shift_test(x, x)[1] == 1 / 30


def test_independent_pairs_count_in_full_and_smooth_ones_less() -> None:
    rng = np.random.default_rng(4)
    white = [effective_size(ar1(rng, N, 0.0), ar1(rng, N, 0.0)) for _ in range(50)]
    smooth = [effective_size(ar1(rng, N, 0.9), ar1(rng, N, 0.9)) for _ in range(50)]
    assert np.median(white) > 45
    assert np.median(smooth) < 25


def test_coincidence_is_the_share_with_a_partner_near_by() -> None:
    share, lag = coincidence(np.array([10.0, 30.0, 50.0]), np.array([11.0, 29.0, 40.0]))
    assert share == pytest.approx(2 / 3)
    assert lag == pytest.approx(0.0)
    assert np.isnan(coincidence(NONE, np.array([1.0]))[0])


@pytest.mark.parametrize(("n", "tested"), [(19, False), (20, True), (60, True)])
def test_no_p_value_below_20_checkpoints(n: int, tested: bool) -> None:
    rng = np.random.default_rng(5)
    rows = {str(r["statistic"]): r for r in within_run(ar1(rng, n, 0), ar1(rng, n, 0), NONE, NONE)}
    assert np.isfinite(rows["change_r"]["p_value"]) == tested  # type: ignore[call-overload]
    assert bool(rows["change_r"]["note"]) != tested
    for name in ("level_r", "lead_lag", "curve_lag", "coincidence"):
        assert np.isnan(rows[name]["p_value"])  # type: ignore[call-overload]
        assert rows[name]["note"]


def test_constant_series_give_a_reason_and_no_number() -> None:
    for row in within_run(np.zeros(40), ar1(np.random.default_rng(0), 40, 0), NONE, NONE):
        assert np.isnan(row["value"])  # type: ignore[call-overload]
        assert np.isnan(row["p_value"])  # type: ignore[call-overload]
        assert row["note"]
