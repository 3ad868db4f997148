"""Association of two series over runs, against runs paired anew within their arm.

If the LLC of a run has no bearing on its own goal beyond what all runs of the arm share, then any
run's LLC goes with any other's goal as well: permuting runs gives an exact null, trends and all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.associations.coincidence import coincidence
from analysis.associations.lags import curve_lag
from analysis.associations.permutations import MIN_RUNS, mean_of_table, permutation_p

Array = npt.NDArray[np.float64]
Row = dict[str, object]
LAST = 3  # checkpoints at the end of training that make the final value
NAMES = ("seed_r", "seed_curve_r", "seed_coincidence", "seed_lead_lag")
FEW = "one run cannot show an association: needs {need} runs, has {n}"
CONSTANT = "no difference between runs of an arm, or no change along training"
NO_TRANSITION = "no run has transitions in both"


def across_runs(
    x: Array, y: Array, arms: Sequence[str], x_turns: list[Array], y_turns: list[Array]
) -> list[Row]:
    """Statistics of an LLC series and a probe series over runs at shared checkpoints.

    `seed_r`: final LLC against final probe, runs as points, less the arm's mean. `seed_curve_r`:
    mean over runs of the correlation along training, both less the arm's mean curve.
    `seed_coincidence`: mean share of LLC transitions that meet one of the probe in their own run
    (one-sided: more than in others). `seed_lead_lag`: mean lag of the courses with its t interval;
    `value` is the spread of lags over runs, and p whether it is smaller than between runs.

    Args:
        x: LLC, `[runs, n]`, finite.
        y: probe metric, `[runs, n]`, finite.
        arms: arm of each run; runs trade places within it only.
        x_turns: transitions of the LLC of each run, as numbers of checkpoints.
        y_turns: transitions of the probe.
    """
    runs = len(arms)
    if runs < MIN_RUNS or x.shape[1] < 1:
        note = FEW.format(need=MIN_RUNS, n=runs) if runs < MIN_RUNS else "no shared checkpoints"
        return [_row(name, runs, np.nan, np.nan, note) for name in NAMES]
    dx, dy = _less_arm(x, arms), _less_arm(y, arms)
    fx, fy = dx[:, -LAST:].mean(axis=1), dy[:, -LAST:].mean(axis=1)
    shares = np.array([[coincidence(a, b)[0] for b in y_turns] for a in x_turns])
    return [
        _test(
            "seed_r", float(runs) * np.outer(_unit(fx[None])[0], _unit(fy[None])[0]), arms, CONSTANT
        ),
        _test("seed_curve_r", _unit(dx) @ _unit(dy).T, arms, CONSTANT),
        _test("seed_coincidence", shares, arms, NO_TRANSITION, one_sided=True),
        _lead_lag(x, y, arms),
    ]


def _test(
    name: str, table: Array, arms: Sequence[str], reason: str, one_sided: bool = False
) -> Row:
    value, p_value = permutation_p(mean_of_table(table), arms, one_sided=one_sided)
    return _row(name, len(arms), value, p_value, "" if np.isfinite(p_value) else reason)


def _lead_lag(x: Array, y: Array, arms: Sequence[str]) -> Row:
    runs = len(arms)
    lags = np.full((runs, runs), np.nan)
    if x.shape[1] >= 4:
        of_arm = np.asarray(arms)[:, None] == np.asarray(arms)[None, :]
        for i, j in np.argwhere(of_arm):
            lags[i, j] = curve_lag(x[i], y[j]).lag
    own = np.diag(lags)
    if not np.all(np.isfinite(own)):
        return _row("seed_lead_lag", runs, np.nan, np.nan, CONSTANT)
    minus_spread, p_value = permutation_p(
        lambda order: -np.std(lags[np.arange(runs), order], axis=1, ddof=1), arms, one_sided=True
    )
    half = -minus_spread * float(stats.t.ppf(0.975, runs - 1)) / np.sqrt(runs)
    row = _row("seed_lead_lag", runs, -minus_spread, p_value, "")
    return row | {"lag": own.mean(), "lag_low": own.mean() - half, "lag_high": own.mean() + half}


def _less_arm(values: Array, arms: Sequence[str]) -> Array:
    out = values.copy()
    for arm in set(arms):
        rows = np.asarray(arms) == arm
        out[rows] -= out[rows].mean(axis=0)
    return out


def _unit(values: Array) -> Array:
    """Rows less their mean, of unit length; NaN rows where nothing varies."""
    rest = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.where(length > 1e-9, rest / np.maximum(length, 1e-9), np.nan)


def _row(statistic: str, n: int, value: float, p_value: float, note: str) -> Row:
    return {
        "statistic": statistic, "value": value, "lag": np.nan, "lag_low": np.nan,
        "lag_high": np.nan, "p_value": p_value, "n": n, "note": note,
    }  # fmt: skip
