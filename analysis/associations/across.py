"""Association of two series over runs, against runs permuted within their arm.

If the LLC of a run has no bearing on its own goal beyond what all runs of the arm share, then any
run's LLC goes with any other's goal as well: permuting runs gives an exact null distribution,
trends and all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from analysis.associations.within import coincidence, curve_lag, statistic_row
from analysis.permutations import MIN_RUNS, Direction, arrangements, mean_of_table, p_value
from analysis.power import detectable_correlation, detectable_course

Array = npt.NDArray[np.float64]
Row = dict[str, object]
LAST = 3  # checkpoints at the end of training that make the final value
DIRECTIONS: dict[str, Direction] = {
    "seed_r": "two-sided",
    "seed_curve_r": "two-sided",
    "seed_coincidence": "greater",
    "seed_lead_lag": "greater",  # of minus the standard deviation
}
FEW = "too few runs to show an association: needs {need} runs, has {n}"
CONSTANT = "no difference between runs of an arm, or no change along training"
NO_TRANSITION = "no run has transitions in both"


def across_runs(
    x: Array, y: Array, arms: Sequence[str], x_changes: list[Array], y_changes: list[Array]
) -> list[Row]:
    """Statistics of an LLC series and a probe series over runs at shared checkpoints.

    `seed_r`: final LLC against final probe, runs as points, less the arm's mean. `seed_curve_r`:
    mean over runs of the correlation along training, both less the arm's mean curve.
    `seed_coincidence`: mean share of LLC transitions that meet one of the probe in their own run
    (one-sided: more than in others). `seed_lead_lag`: mean lag of the courses with its t interval;
    `value` is the standard deviation of lags over runs, and p whether it is smaller than
    between runs. Where final values are the same in all runs of an arm, these tell nothing of a
    link and count neither in `seed_r` nor in its n and power.

    Args:
        x: LLC, `[runs, n]`, finite.
        y: probe metric, `[runs, n]`, finite.
        arms: arm of each run; runs are permuted within it only.
        x_changes: transitions of the LLC of each run, as numbers of checkpoints.
        y_changes: transitions of the probe.

    Returns:
        Rows as `statistic_row` makes them; those with a p-value hold as `null` the statistic over
        all arrangements (of `DIRECTIONS`), for corrections over several pairs, and where it can be
        told as `power` the true value found with 80 %, a function of the critical one.
    """
    runs = len(arms)
    if runs < MIN_RUNS or x.shape[1] < 1:
        note = FEW.format(need=MIN_RUNS, n=runs) if runs < MIN_RUNS else "no shared checkpoints"
        return [statistic_row(name, runs, note) for name in DIRECTIONS]
    orders = arrangements(tuple(arms))
    dx, dy = less_arm_mean(x, arms), less_arm_mean(y, arms)
    fx, fy = dx[:, -LAST:].mean(axis=1), dy[:, -LAST:].mean(axis=1)
    told = _differs(fx, arms) & _differs(fy, arms)
    fx, fy = np.where(told, fx, 0.0), np.where(told, fy, 0.0)
    shares = np.array([[coincidence(a, b)[0] for b in y_changes] for a in x_changes])
    ux, uy = unit_rows(dx), unit_rows(dy)
    tests = {
        "seed_r": float(runs) * np.outer(unit_rows(fx[None])[0], unit_rows(fy[None])[0]),
        "seed_curve_r": ux @ uy.T,
        "seed_coincidence": shares,
    }
    count, goals = int(told.sum()), mean_of_table(uy @ uy.T)
    freedom = count - len(set(np.asarray(arms)[told])) - 1
    rows = []
    for name, table in tests.items():
        null = mean_of_table(table)(orders)
        reason = NO_TRANSITION if name == "seed_coincidence" else CONSTANT
        power: dict[str, Callable[[float], float]] = {
            "seed_curve_r": partial(detectable_course, null, goals(orders)),
        }
        if freedom >= 1:
            power["seed_r"] = partial(detectable_correlation, freedom=freedom)
        n = count if name == "seed_r" else runs
        rows.append(_tested(name, n, reason, float(null[0]), null) | {"power": power.get(name)})
    return [*rows, _lead_lag(x, y, arms)]


def _tested(name: str, runs: int, reason: str, value: float, null: Array) -> Row:
    p = p_value(null, DIRECTIONS[name])
    return statistic_row(name, runs, "" if np.isfinite(p) else reason, value, p_value=p) | {
        "null": null
    }


def _differs(values: Array, arms: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which runs are of an arm whose values, less the arm's mean, are not all 0."""
    of_arm = np.asarray(arms)[:, None] == np.asarray(arms)[None, :]
    return np.asarray((of_arm & (np.abs(values) > 1e-9)[None, :]).any(axis=1))


def _lead_lag(x: Array, y: Array, arms: Sequence[str]) -> Row:
    runs = len(arms)
    lags = np.full((runs, runs), np.nan)
    if x.shape[1] >= 4:
        of_arm = np.asarray(arms)[:, None] == np.asarray(arms)[None, :]
        for i, j in np.argwhere(of_arm):
            lags[i, j] = curve_lag(x[i], y[j]).lag
    own = np.diag(lags)
    if not np.all(np.isfinite(own)):
        return statistic_row("seed_lead_lag", runs, CONSTANT)
    null = -np.std(lags[np.arange(runs), arrangements(tuple(arms))], axis=1, ddof=1)
    half = -null[0] * float(stats.t.ppf(0.975, runs - 1)) / np.sqrt(runs)
    row = _tested("seed_lead_lag", runs, CONSTANT, -float(null[0]), null)
    return row | {"lag": own.mean(), "lag_low": own.mean() - half, "lag_high": own.mean() + half}


def less_arm_mean(values: Array, arms: Sequence[str]) -> Array:
    """Curves of runs `[runs, n]` less the mean curve of their arm."""
    out = values.copy()
    for arm in set(arms):
        rows = np.asarray(arms) == arm
        out[rows] -= out[rows].mean(axis=0)
    return out


def unit_rows(values: Array) -> Array:
    """Rows less their mean, of unit length; NaN rows where nothing varies."""
    rest = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.where(length > 1e-9, rest / np.maximum(length, 1e-9), np.nan)
