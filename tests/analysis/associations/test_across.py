"""Tests over seeds: exact nulls, and links that only seeds can show."""

import numpy as np
import pytest
from synthetic_series import ar1, sigmoid

from analysis.associations.across import across_runs
from analysis.permutations import arrangements, mean_of_table, p_value


def curves(rng: np.random.Generator, runs: int, linked: bool) -> tuple[np.ndarray, np.ndarray]:
    """Learning curves of all runs that turn at like times; linked: the same time in a run."""
    one = rng.uniform(15, 25, runs)
    two = one if linked else rng.uniform(15, 25, runs)
    x, y = (
        np.array([sigmoid(40, m, 1.0) + 0.05 * ar1(rng, 40, 0.0) for m in middles])
        for middles in (one, two)
    )
    return x, y


def changes(values: np.ndarray) -> list[np.ndarray]:
    return [np.array([float(np.argmax(v > 0.5))]) for v in values]


def rates(linked: bool, runs: int, count: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    hits: dict[str, float] = {}
    for _ in range(count):
        x, y = curves(rng, runs, linked)
        for row in across_runs(x, y, ["a"] * runs, changes(x), changes(y)):
            hit = float(row["p_value"] <= 0.05)  # type: ignore[operator]
            hits[str(row["statistic"])] = hits.get(str(row["statistic"]), 0.0) + hit / count
    return hits


def test_unlinked_runs_are_rarely_significant() -> None:
    for name, rate in rates(False, 5, 50).items():
        assert rate <= 0.12, name


def test_linked_runs_are_found() -> None:
    found = rates(True, 8, 8)
    assert found["seed_curve_r"] >= 0.99
    assert found["seed_lead_lag"] >= 0.99
    assert found["seed_coincidence"] >= 0.7


def test_what_arms_share_is_no_link() -> None:
    rng = np.random.default_rng(1)
    arms = ["a"] * 5 + ["b"] * 5
    level = np.repeat([0.0, 10.0], 5)[:, None]
    x, y = level + ar1(rng, 30, 0.5, size=10), level + ar1(rng, 30, 0.5, size=10)
    row = across_runs(x, y, arms, changes(x), changes(y))[0]
    assert row["p_value"] > 0.05  # type: ignore[operator]
    row = across_runs(x, y, ["a"] * 10, changes(x), changes(y))[0]
    assert row["p_value"] < 0.05  # type: ignore[operator]


def test_fewer_than_five_runs_have_no_p_value() -> None:
    x, y = curves(np.random.default_rng(0), 4, True)
    for row in across_runs(x, y, ["a"] * 4, changes(x), changes(y)):
        assert np.isnan(row["p_value"])  # type: ignore[call-overload]
        assert "needs 5 runs, has 4" in str(row["note"])


def test_p_value_of_a_perfect_pairing_is_one_of_all() -> None:
    z = np.arange(5.0) - 2
    null = mean_of_table(np.outer(z, z))(arrangements(("a",) * 5))
    assert null[0] == pytest.approx(2.0)
    assert p_value(null, "greater") == 1 / 120
