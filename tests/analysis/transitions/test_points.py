"""Cleaning of a series, and what counts as a user's mistake."""

import numpy as np
import pandas as pd
import pytest

from analysis.transitions.points import clean_points
from rl_slt import InputError

STEPS = np.arange(12.0)


def test_points_are_sorted_and_gaps_stay_gaps() -> None:
    values = np.sin(STEPS)
    values[4] = np.nan
    points = clean_points(STEPS[::-1], values[::-1])
    assert points.steps.tolist() == [k for k in STEPS if k != 4]
    assert points.index.tolist() == [k for k in range(12) if k != 4]


def test_missing_may_be_none_or_pandas_na() -> None:
    some = pd.array([1.0, None, 3.0], dtype="Float64")
    assert clean_points([0, 1, 2], some).values.tolist() == [1.0, 3.0]
    assert clean_points([0, 1, 2], [1.0, None, 3.0]).values.tolist() == [1.0, 3.0]
    masked: object = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    points = clean_points([0, 1, 2], masked)
    assert points.values.tolist() == [1.0, 3.0] and np.isfinite(points.resolution)


def test_lone_outlier_is_dropped_but_a_step_is_not() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(30)
    values[15:] += 50.0
    assert len(clean_points(np.arange(30), values)) == 30
    values[7] = 80.0
    assert 7 not in clean_points(np.arange(30), values).index


def test_the_resolution_is_the_smallest_step_between_values() -> None:
    assert clean_points(STEPS, [0.0, 0.1, 0.3] * 4).resolution == pytest.approx(0.1)
    assert clean_points(STEPS, [0.1 + 0.2, 0.3] * 6).resolution == np.inf


@pytest.mark.parametrize(
    ("steps", "values", "stderr", "words"),
    [
        ([0, 1], [1, 2, 3], None, "lengths"),
        ([0, 0, 1], [1, 2, 3], None, "repeats"),
        ([-1, 0, 1], [1, 2, 3], None, "at least 0"),
        ([0, 1, np.inf], [1, 2, 3], None, "finite"),
        ([0, 1, 2], [1, 2, 3], [1, -1, 1], "stderr=-1.0: must be at least 0"),
        ([0, 1, 2], ["a", "b", "c"], None, "numbers"),
        ([[0, 1]], [[1, 2]], None, "steps"),
    ],
)
def test_mistakes_are_named(steps: object, values: object, stderr: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        clean_points(steps, values, stderr)
    assert "\n" not in str(error.value)
