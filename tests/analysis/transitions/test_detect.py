"""Detectors on data of known truth; the full rates are in `benchmarks/analysis_error_rates.py`."""

import numpy as np
import pandas as pd
import pytest
from synthetic_series import Signal, ar1, log_steps, sigmoid, spoil, steps_in_noise

from analysis import detect_transitions
from analysis.schema import TABLES
from analysis.transitions import DETECTORS
from analysis.transitions.evidence import LEVEL, p_value, threshold
from rl_slt import InputError

COLUMNS = [*TABLES["transitions"], "change_low", "change_high", "begin", "end", "p_value"]


def run(signal: Signal, **kw: object) -> pd.DataFrame:
    return detect_transitions(signal.steps, signal.values, signal.stderr, **kw)  # type: ignore[arg-type]


def off_by(signal: Signal, rows: pd.DataFrame) -> float:
    locations = np.searchsorted(signal.steps, rows["step"].to_numpy(dtype=float))
    return min((abs(int(p) - signal.changes[0][0]) for p in locations), default=np.inf)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_clear_step_is_found_and_measured(detector: str) -> None:
    signal = steps_in_noise(np.random.default_rng(0), 60, ((25, -8.0),), 0.3)
    rows = run(signal, run="r", series="s", detectors=(detector,))
    assert list(rows.columns) == COLUMNS
    assert len(rows) == 1
    row = rows.iloc[0]
    assert (row["run"], row["series"], row["detector"], row["kind"]) == ("r", "s", detector, "fall")
    assert row["step"] == signal.steps[25]
    assert row["step_low"] <= row["step"] <= row["step_high"]
    assert row["change_low"] < -8.0 < row["change_high"]
    assert row["p_value"] < 1e-6
    assert row["begin"] < row["step"] <= row["end"] * (1 + 1e-12)


@pytest.mark.parametrize("detector", DETECTORS)
def test_slow_rises_and_bumps_are_found(detector: str) -> None:
    noise = ar1(np.random.default_rng(1), 60, 0.3)
    steps = log_steps(60)
    slow = detect_transitions(steps, 30 * sigmoid(60, 30, 4) + noise, detectors=(detector,))
    assert set(slow["kind"]) == {"rise"}
    assert slow["change"].sum() == pytest.approx(30, abs=4)
    bump = steps_in_noise(np.random.default_rng(2), 60, ((20, 4.0), (45, -4.0)), 0.2)
    assert run(bump, detectors=(detector,))["kind"].tolist() == ["rise", "fall"]


def test_a_slow_rise_is_one_rise_between_two_plateaus() -> None:
    values = 30 * np.clip((np.arange(60) - 20) / 20, 0, 1) + ar1(np.random.default_rng(1), 60, 0.0)
    steps = log_steps(60)
    rows = detect_transitions(steps, values, detectors=("derivative",))
    assert len(rows) == 1
    begin, end = np.searchsorted(steps, [rows["begin"][0], rows["end"][0]])
    assert abs(begin - 20) <= 3
    assert abs(end - 40) <= 3


def test_larger_errors_widen_the_intervals() -> None:
    signal = steps_in_noise(np.random.default_rng(3), 60, ((30, 5.0),), 0.0)
    width = {}
    for error in (0.1, 4.0):
        rows = detect_transitions(signal.steps, signal.values, np.full(60, error))
        row = rows[rows["detector"] == "change_point"].iloc[0]
        width[error] = (row["change_high"] - row["change_low"], row["step_high"] - row["step_low"])
    assert width[4.0][0] > 2 * width[0.1][0]
    assert width[4.0][1] > width[0.1][1]


def test_same_series_same_answer_on_any_scale() -> None:
    signal = spoil(
        np.random.default_rng(4), steps_in_noise(np.random.default_rng(4), 60, ((30, 4.0),))
    )
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


def test_unknown_detector_is_named() -> None:
    with pytest.raises(InputError, match="'magic': must be of derivative, change_point"):
        detect_transitions([0, 1], [0, 1], detectors=("magic",))


def test_each_detector_says_its_name_and_error_rate() -> None:
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert 0 < detector.level <= 0.05


def test_p_value_and_threshold_agree() -> None:
    for m in (8, 33, 60, 500):
        for family in ("step", "ramp"):
            assert p_value(family, m, threshold(family, m)) == pytest.approx(LEVEL)
            assert p_value(family, m, -50.0) == 1.0
            assert p_value(family, m, 1e4) < 1e-6


def rates(count: int, phi: float, change: float, seed: int) -> dict[str, np.ndarray]:
    """Shares of spoiled series in which each detector finds any, and locations it within one."""
    rng = np.random.default_rng(seed)
    tally = {name: np.zeros(2) for name in DETECTORS}
    for _ in range(count):
        changes = ((int(rng.integers(6, 55)), change),) if change else ()
        signal = spoil(rng, steps_in_noise(rng, 60, changes, phi, uneven=True))
        rows = run(signal)
        for name in DETECTORS:
            mine = rows[rows["detector"] == name]
            tally[name] += [len(mine) > 0, bool(change) and off_by(signal, mine) <= 1]
    return {name: total / count for name, total in tally.items()}


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_false_transitions_are_rare(phi: float) -> None:
    for name, (found, _) in rates(60, phi, 0.0, 10).items():
        assert found <= 0.117, name  # 7 of 60: 2 % of draws at a true rate of 5 %


def test_planted_steps_are_found() -> None:
    for name, (found, placed) in rates(40, 0.3, 3.0, 11).items():
        assert found >= 0.85, name
        assert placed >= 0.75, name


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_false_transitions_at_full_count(phi: float) -> None:
    for name, (found, _) in rates(500, phi, 0.0, 12).items():
        assert found <= 0.07, name


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_planted_steps_at_full_count(phi: float) -> None:
    for name, (found, placed) in rates(500, phi, 3.0, 13).items():
        assert found >= 0.87, name
        assert placed >= 0.77, name
