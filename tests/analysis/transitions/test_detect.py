"""Transitions of known truth; the full rates are in `benchmarks/analysis_transitions.py`."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_series import Signal, ar1, log_steps, sigmoid, spoil, steps_in_noise

from analysis import detect_in_all, detect_transitions, settling_step
from analysis.schema import TABLES
from analysis.transitions import AT_EDGE, NOT_LOCATED

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

import analysis_transitions as benchmark
import gridworld_transitions as gridworld

COLUMNS = [*TABLES["transitions"], "change_low", "change_high", "status", "p_value"]


def run(signal: Signal, **kw: object) -> pd.DataFrame:
    return detect_transitions(signal.steps, signal.values, signal.stderr, **kw)  # type: ignore[arg-type]


def test_a_clear_step_is_found_and_measured() -> None:
    rng = np.random.default_rng(0)
    signal = steps_in_noise(rng, 60, ((25, -8.0),), 0.3)
    rows = detect_transitions(signal.steps, signal.values, np.ones(60), run="r", series="s")
    assert list(rows.columns) == COLUMNS
    assert len(rows) == 1
    row = rows.iloc[0]
    assert (row["run"], row["series"], row["kind"], row["status"]) == ("r", "s", "fall", "")
    assert row["step"] == row["step_high"] == signal.steps[25]
    assert row["step_low"] == signal.steps[24]
    assert row["change_low"] < -8.0 < row["change_high"]
    assert row["p_value"] < 1e-6


def test_a_slow_rise_is_one_rise_from_plateau_to_plateau() -> None:
    values = 30 * np.clip((np.arange(60) - 20) / 20, 0, 1) + ar1(np.random.default_rng(1), 60, 0.0)
    rows = detect_transitions(np.arange(60), values, np.ones(60))
    assert rows["kind"].tolist() == ["rise"]
    assert rows["change"][0] == pytest.approx(30, abs=2)
    assert abs(rows["step_low"][0] - 20) <= 4
    assert abs(rows["step_high"][0] - 40) <= 4


def test_a_rise_and_a_fall_are_two() -> None:
    bump = steps_in_noise(np.random.default_rng(2), 60, ((20, 4.0), (45, -4.0)), 0.2)
    for stderr in (np.ones(60), None):
        rows = detect_transitions(bump.steps, bump.values, stderr)
        assert rows["kind"].tolist() == ["rise", "fall"]


@pytest.mark.parametrize("stderr", [np.ones(16), None], ids=["known", "missing"])
def test_a_straight_line_is_a_trend_and_no_transition(stderr: np.ndarray | None) -> None:
    for seed in range(10):
        line = 75 * np.arange(16) / 15 + np.random.default_rng(seed).standard_normal(16)
        rows = detect_transitions(np.arange(16), line, stderr)
        assert rows["kind"].tolist() == ["trend"]
        assert rows["change"][0] == pytest.approx(75, abs=5)


@pytest.mark.parametrize(("place", "edge"), [(1, True), (2, False), (10, False), (11, True)])
def test_a_step_at_the_edge_is_reported_and_unconfirmed(place: int, edge: bool) -> None:
    values = 10.0 * (np.arange(12) >= place) + np.random.default_rng(4).standard_normal(12)
    rows = detect_transitions(np.arange(12), values, np.ones(12))
    assert (rows["kind"].tolist(), rows["step"].tolist()) == (["rise"], [place])
    assert rows["status"][0] == (AT_EDGE if edge else "")


@pytest.mark.parametrize("stderr", [None, np.zeros(12)], ids=["missing", "zero"])
def test_few_values_that_are_tied_are_no_evidence(stderr: np.ndarray | None) -> None:
    assert detect_transitions(np.arange(12), [0.0] * 9 + [0.01] * 3, stderr).empty
    rows = detect_transitions(np.arange(60), [0.0] * 30 + [1.0] * 30)
    assert (rows["kind"].tolist(), rows["step"].tolist()) == (["rise"], [30])
    assert rows["p_value"][0] > 1e-4


def test_the_goal_of_both_arms_of_the_demo_changes() -> None:
    first = {str(row["arm"]): row for row in reversed(list(benchmark.demo()))}
    assert [first[arm]["kind"] for arm in ("end", "behind")] == ["fall", "rise"]
    assert first["end"]["change"] == pytest.approx(-0.27, abs=0.05)  # of plateaus, from 0.41 on
    assert first["behind"]["change"] == pytest.approx(0.49, abs=0.05)
    assert all(float(str(row["p-value"])) < 1e-9 for row in first.values())


def test_larger_errors_widen_the_intervals() -> None:
    signal = steps_in_noise(np.random.default_rng(3), 60, ((30, 5.0),), 0.0)
    width = {}
    for error in (1.0, 2.0):
        row = detect_transitions(signal.steps, signal.values, np.full(60, error)).iloc[0]
        width[error] = (row["change_high"] - row["change_low"], row["step_high"] - row["step_low"])
    assert width[2.0][0] == pytest.approx(2 * width[1.0][0], rel=0.3)
    assert width[2.0][1] >= width[1.0][1]


def test_same_series_same_answer_on_any_scale() -> None:
    rng = np.random.default_rng(4)
    signal = spoil(rng, steps_in_noise(rng, 60, ((30, 4.0),)))
    one = run(signal)
    assert len(one)
    pd.testing.assert_frame_equal(one, run(signal))
    scaled = detect_transitions(signal.steps, 1e-6 * signal.values - 3, 1e-6 * signal.stderr)
    assert scaled["step"].tolist() == one["step"].tolist()
    assert scaled["change"].to_numpy() == pytest.approx(1e-6 * one["change"].to_numpy())


@pytest.mark.parametrize(
    "values",
    [np.zeros(60), np.full(60, np.nan), [np.nan] * 55 + [1.0, 2, 3, 4, 5], np.arange(3.0), []],
    ids=["constant", "all missing", "five points", "three points", "empty"],
)
def test_series_that_say_nothing_give_no_rows(values: list[float]) -> None:
    rows = detect_transitions(np.arange(len(values)), values)
    assert list(rows.columns) == COLUMNS
    assert rows.empty


def test_one_false_discovery_rate_over_all_series() -> None:
    """With 100 series of noise next to 5 that change, those 5 alone are told of."""
    rng = np.random.default_rng(5)
    k = np.arange(12)
    noise = [("a", f"n{i}", k, rng.standard_normal(12), np.ones(12)) for i in range(100)]
    jumps = [("b", f"j{i}", k, 8.0 * (k >= 5) + rng.standard_normal(12), np.ones(12))
             for i in range(5)]  # fmt: skip
    alone = sum(len(detect_transitions(*of)) > 0 for _, _, *of in noise)
    found = detect_in_all([*noise, *jumps])
    assert alone >= 1
    assert set(found["series"]) == {f"j{i}" for i in range(5)}
    assert set(found["tested"]) == {105}
    assert (found["q_value"] >= found["p_value"]).all() and found["q_value"].max() <= 0.05
    assert list(detect_in_all([]).columns) == [*COLUMNS, "q_value", "tested", "error_scale"]


def test_errors_that_several_runs_show_to_be_too_small_are_widened() -> None:
    """Apart, 12 points with errors 1.5 times too small change falsely in 14 %."""
    rng, k = np.random.default_rng(5), np.arange(12)

    def report(told: float, step: float = 0.0) -> tuple[pd.DataFrame, list[bool]]:
        places = rng.integers(3, 10, 40)
        series = [(f"r{i}", "llc", k, step * (k >= place) + ar1(rng, 12, 0.0), np.full(12, told))
                  for i, place in enumerate(places)]  # fmt: skip
        found = detect_in_all(series)
        return found, [bool(len(detect_transitions(*one[2:]))) for one in series]

    found, apart = report(1 / 1.5)
    assert sum(apart) >= 3 and len(found) <= 2
    found, _ = report(1 / 1.5, 4.0)
    assert found["error_scale"].iloc[0] == pytest.approx(1.6, abs=0.2)
    assert found["run"].nunique() >= 28
    found, _ = report(1.0, 4.0)
    assert found["error_scale"].max() < 1.1 and found["run"].nunique() >= 32


def test_a_goal_settles_where_it_stays_within_errors_of_its_last_value() -> None:
    steps, values = np.arange(8.0), np.array([0.1, 0.1, 0.5, 0.9, 0.2, 0.88, 0.9, 0.9])
    assert settling_step(steps, values, np.full(8, 0.02)) == 5
    assert settling_step(steps, values, np.full(8, 0.5)) == 0


def test_level_and_power_at_twelve_points() -> None:
    """Known errors: anything said of noise, and steps of 3 sd (0.8 or more in the benchmark).

    The band from `step_low` to `step_high` holds the step in 95 % of those found.
    """
    rng = np.random.default_rng(6)
    k, held, of = np.arange(12), 0, 0
    for phi in (0.0, 0.5):
        noise = ar1(rng, 12, phi, size=80)
        said = [benchmark.verdict(values, np.ones(12)) for values in noise]
        assert sum(word != "nothing" for word in said) <= 8  # 2 % of draws at a true rate of 5 %
        hits = 0
        for _ in range(60):
            place = rng.choice((2, 3, 6, 10))
            values = 3.0 * (k >= place) + ar1(rng, 12, phi)
            found = detect_transitions(k, values, np.ones(12))
            found = found[found["kind"] == "rise"]
            hits += len(found) > 0
            held += bool(((found["step_low"] < place) & (found["step_high"] >= place)).any())
        assert hits >= 42  # 3 % of draws at a true rate of 0.8
        of += hits
    assert held >= 0.95 * of - 2 * np.sqrt(0.05 * 0.95 * of)


def test_errors_that_are_too_small_are_widened_as_residuals_ask() -> None:
    noise = ar1(np.random.default_rng(12), 24, 0.25, size=80)
    said = [benchmark.verdict(values, np.full(24, 1 / 1.5)) for values in noise]
    assert sum(word != "nothing" for word in said) <= 8  # believed as they are, 14


@pytest.mark.parametrize("stderr", [np.ones(60), None], ids=["known", "missing"])
def test_a_series_that_wanders_is_held_against_its_own_correlation(
    stderr: np.ndarray | None,
) -> None:
    noise = ar1(np.random.default_rng(13), 60, 0.9, size=20)
    said = [benchmark.verdict(values, stderr) for values in noise]
    assert sum(word != "nothing" for word in said) <= 4  # held against phi up to 0.5, 6 and 12
    step = 10.0 * (np.arange(60) >= 30) + noise[0]
    assert "rise" in set(detect_transitions(np.arange(60), step, stderr)["kind"])


def test_one_point_off_a_constant_is_no_change() -> None:
    values = np.where(np.arange(21) == 10, 1.0, 0.0)
    assert detect_transitions(np.arange(21), values, np.full(21, 0.05)).empty


def test_a_change_that_may_be_anywhere_is_not_located() -> None:
    line, found = np.linspace(0, 4, 12), []
    for seed in range(10):
        values = line + np.random.default_rng(seed).standard_normal(12)
        found += detect_transitions(np.arange(12), values, np.ones(12)).to_dict("records")
    anywhere = [row for row in found if (row["step_low"], row["step_high"]) == (0, 11)]
    assert len(anywhere) >= 4
    assert all(row["kind"] == "trend" or row["status"] == NOT_LOCATED for row in anywhere)


@pytest.mark.parametrize("profile", list(benchmark.PROFILES))
def test_level_without_errors_and_in_unequal_noise(profile: str) -> None:
    rng = np.random.default_rng(7)
    sd = benchmark.PROFILES[profile](np.arange(24.0))
    for stderr in (None, sd, sd / 3):
        said = [benchmark.verdict(sd * noise, stderr) for noise in ar1(rng, 24, 0.4, size=60)]
        assert sum(word != "nothing" for word in said) <= 7  # 2 % of draws at a true rate of 5 %


def test_the_goal_of_a_gridworld_is_dated_where_it_changes_and_nowhere_else() -> None:
    """Exact and smooth courses; one in four was dated at 12 points when only plateaus counted."""
    frame = gridworld.courses((0.3, 0.5, 0.001), 2, steps=500)
    rows = list(gridworld.rates(frame, (12, 24), (0.0, 0.05), 2))
    assert [row["runs with a change"] for row in rows] == [4] * 4
    assert np.mean([float(str(row["dated"])) for row in rows]) >= 0.9
    assert all(row["falsely, of those without"] == 0 for row in rows)


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_exact_values_that_only_wander_are_no_smooth_course(phi: float) -> None:
    noise = ar1(np.random.default_rng(3), 12, phi, size=100)
    said = [benchmark.verdict(values, np.zeros(12)) for values in noise]
    assert sum(word != "nothing" for word in said) <= 11  # 1 % of draws at a true rate of 5 %


def test_errors_that_are_all_missing_are_unknown() -> None:
    signal = steps_in_noise(np.random.default_rng(0), 60, ((25, -8.0),), 0.3)
    missing, none = (detect_transitions(signal.steps, signal.values, stderr)
                     for stderr in (np.full(60, np.nan), None))  # fmt: skip
    pd.testing.assert_frame_equal(missing, none)
    assert len(missing) == 1


def test_slow_curves_are_found_at_sixty_points() -> None:
    noise = ar1(np.random.default_rng(1), 60, 0.3)
    slow = detect_transitions(log_steps(60), 30 * sigmoid(60, 30, 4) + noise, np.ones(60))
    assert set(slow["kind"]) == {"rise"}
    assert slow["change"].sum() == pytest.approx(30, abs=4)


def test_points_that_failed_and_say_so_hide_no_step() -> None:
    rng = np.random.default_rng(11)
    near = 0
    for _ in range(12):
        place = int(rng.integers(6, 55))
        signal = spoil(rng, steps_in_noise(rng, 60, ((place, 4.0),), 0.3, uneven=True))
        rows = run(signal)  # with errors of 0.3 where the noise is 1
        at = np.searchsorted(signal.steps, rows["step"].to_numpy(dtype=float))
        near += bool(len(at) and np.min(np.abs(at - place)) <= 1)
    assert near >= 9
