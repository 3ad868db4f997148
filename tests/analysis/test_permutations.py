"""Arrangements, and the step-down max-T over them."""

import numpy as np
import pytest

from analysis.permutations import (
    arrangements,
    corrected,
    critical_value,
    extremes,
    p_value,
    step_down,
)

RNG = np.random.default_rng(0)


def test_arrangements_stay_within_strata_and_are_complete_where_few() -> None:
    every = arrangements(("a", "b", "a", "b", "a"))
    assert len(np.unique(every, axis=0)) == len(every) == 12
    assert every[0].tolist() == [0, 1, 2, 3, 4]
    assert set(map(tuple, np.sort(every[:, [0, 2, 4]]).tolist())) == {(0, 2, 4)}
    drawn = arrangements(("a",) * 12, most=50)
    assert drawn.shape == (50, 12) and drawn[0].tolist() == list(range(12))
    assert (np.sort(drawn, axis=1) == np.arange(12)).all()


@pytest.mark.parametrize(("labels", "count"), [("xyxyxyxyxy", 252), ("xxyyzz", 90), ("xxxxxx", 1)])
def test_assignments_of_labels_are_listed_once(labels: str, count: int) -> None:
    names = np.array(list(labels))
    orders = arrangements(("all",) * len(labels), tuple(labels))
    at = [names == label for label in sorted(set(labels))]
    given = {tuple(tuple(sorted(row[place])) for place in at) for row in orders}
    assert len(orders) == len(given) == count
    assert (orders[0] == np.arange(len(labels))).all()


def test_pairs_change_places_within_their_seed() -> None:
    orders = arrangements((0, 1, 2, 0, 1, 2), tuple("aaabbb"))
    assert len(orders) == 8
    assert {tuple(sorted(row[[0, 3]])) for row in orders} == {(0, 3)}


def test_p_counts_the_observed_arrangement() -> None:
    assert p_value(np.array([3.0, 1.0, 2.0, 3.0]), "greater") == 0.5
    assert p_value(np.array([3.0, 1.0, 2.0, 3.0]), "less") == 1.0
    assert p_value(np.array([-3.0, 1.0, 1.0, 1.0]), "two-sided") == 0.25
    assert p_value(np.ones(4), "greater") == 1.0
    assert np.isnan(p_value(np.array([np.nan, 1.0]), "greater"))
    assert np.isnan(p_value(np.ones(1), "greater"))


def by_definition(z: np.ndarray) -> np.ndarray:
    """Ge, Dudoit & Speed 2003, box 2, word for word."""
    order = np.argsort(-z[0])
    out = np.empty(z.shape[1])
    last = 0.0
    for k, j in enumerate(order):
        last = max(last, float(np.mean(z[:, order[k:]].max(axis=1) >= z[0, j] - 1e-9)))
        out[j] = last
    return out


def test_step_down_is_the_published_procedure() -> None:
    z = extremes(RNG.normal(size=(500, 6)) + np.array([2.0, 0, 0, 1, 0, 0]), "two-sided")
    z[0] += [3.0, 0.0, 2.5, 0.0, 0.0, 0.0]
    (adjusted,) = step_down([z])
    assert adjusted == pytest.approx(by_definition(z))
    assert adjusted.min() < 0.05


def test_blocks_count_as_independent() -> None:
    z = extremes(RNG.normal(size=(400, 2)), "two-sided")
    z[0] = [2.5, 1.0]
    one, two = step_down([z[:, :1], z[:, 1:]])
    p, other = np.mean(z[:, 0] >= 2.5), np.mean(z[:, 1] >= 2.5)
    assert one[0] == pytest.approx(1 - (1 - p) * (1 - other))
    assert two[0] == pytest.approx(max(one[0], np.mean(z[:, 1] >= 1.0)))
    flat = corrected({"a": {4: z[:, 0]}, "b": {7: z[:, 1]}}, "greater")
    assert set(flat) == {4, 7} and corrected({}, "greater") == {}


def test_equal_tests_cost_nothing() -> None:
    """Adapts to dependence: a hundred copies of a test are one test."""
    null = RNG.normal(size=1000)
    null[0] = np.quantile(null, 0.97)
    (adjusted,) = step_down([extremes(np.tile(null[:, None], (1, 100)), "greater")])
    assert adjusted == pytest.approx(p_value(null, "greater"))


def test_the_critical_value_is_the_first_that_is_found() -> None:
    z = extremes(RNG.normal(size=(1000, 20)), "two-sided")
    critical = critical_value([z])
    for shift, found in ((1e-6, True), (-1e-3, False)):
        z[0] = 0.0
        z[0, 0] = critical + shift
        assert (step_down([z])[0][0] <= 0.05) == found
    assert np.isnan(critical_value([extremes(np.arange(10.0)[::-1, None], "greater")]))


def test_unlinked_families_are_rarely_found() -> None:
    """Familywise error of 40 tests with five runs in each of two arms, some of them alike."""
    orders = arrangements(tuple("aaaaabbbbb"), most=720)
    hits = 0
    for _ in range(200):
        x, y = RNG.normal(size=10), RNG.normal(size=(10, 40)) + RNG.normal(size=(10, 1))
        x, y = (v - np.repeat([v[:5].mean(0), v[5:].mean(0)], 5, axis=0) for v in (x, y))
        null = x[orders] @ (y / np.linalg.norm(y, axis=0))
        hits += step_down([extremes(null, "two-sided")])[0].min() <= 0.05
    assert hits <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)
