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
from analysis.associations.lags import estimate_lag
from analysis.associations.permutations import MIN_RUNS, permutation_p

Array = npt.NDArray[np.float64]
Row = dict[str, object]
LAST = 3  # checkpoints at the end of training that make the final value
NAMES = ("seed_r", "seed_curve_r", "seed_coincidence", "seed_lead_lag")
FEW = "one run cannot show an association: needs {need} runs, has {n}"
CONSTANT = "no difference between runs of an arm"


def across_runs(
    x: Array, y: Array, arms: Sequence[str], x_turns: list[Array], y_turns: list[Array]
) -> list[Row]:
    """Statistics of an LLC series and a probe series over runs at shared checkpoints.

    `seed_r`: final LLC against final probe, runs as points, less the arm's mean. `seed_curve_r`:
    mean over runs of the correlation along training, both less the arm's mean curve.
    `seed_coincidence`: mean share of LLC transitions that meet one of the probe in their own run
    (one-sided: more than in others). `seed_lead_lag`: mean lag over runs, t interval, no p-value.

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
    return [
        _test("seed_r", arms, lambda order: _correlation(fx, fy[order])),
        _test("seed_curve_r", arms, lambda order: _mean_correlation(dx, dy[order])),
        _test(
            "seed_coincidence", arms,
            lambda order: _mean_share(x_turns, [y_turns[k] for k in order]), one_sided=True,
        ),
        _lead_lag(x, y),
    ]  # fmt: skip


def _test(name: str, arms: Sequence[str], statistic: object, one_sided: bool = False) -> Row:
    assert callable(statistic)
    value = float(statistic(np.arange(len(arms))))
    p_value = permutation_p(statistic, arms, one_sided=one_sided)
    note = "" if np.isfinite(p_value) else CONSTANT
    if name == "seed_coincidence" and not np.isfinite(value):
        note = "no run has transitions in both"
    return _row(name, len(arms), value, p_value, note)


def _lead_lag(x: Array, y: Array) -> Row:
    lags = np.array(
        [estimate_lag(a, b).lag if len(a) >= 4 else np.nan for a, b in zip(x, y, strict=True)]
    )
    lags = lags[np.isfinite(lags)]
    if len(lags) < MIN_RUNS:
        return _row("seed_lead_lag", len(lags), np.nan, np.nan, "a series never changes")
    mean = float(lags.mean())
    half = float(stats.t.ppf(0.975, len(lags) - 1) * lags.std(ddof=1) / np.sqrt(len(lags)))
    note = "descriptive: a steady lag between unlinked courses looks the same"
    row = _row("seed_lead_lag", len(lags), np.nan, np.nan, note)
    return row | {"lag": mean, "lag_low": mean - half, "lag_high": mean + half}


def _less_arm(values: Array, arms: Sequence[str]) -> Array:
    out = values.copy()
    for arm in set(arms):
        rows = np.asarray(arms) == arm
        out[rows] -= out[rows].mean(axis=0)
    return out


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else np.nan


def _mean_correlation(x: Array, y: Array) -> float:
    a, b = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    good = size > 1e-12
    return float(np.mean((a * b).sum(axis=1)[good] / size[good])) if good.any() else np.nan


def _mean_share(x_turns: list[Array], y_turns: list[Array]) -> float:
    shares = [coincidence(a, b)[0] for a, b in zip(x_turns, y_turns, strict=True)]
    finite = [s for s in shares if np.isfinite(s)]
    return float(np.mean(finite)) if finite else np.nan


def _row(statistic: str, n: int, value: float, p_value: float, note: str) -> Row:
    return {
        "statistic": statistic, "value": value, "lag": np.nan, "lag_low": np.nan,
        "lag_high": np.nan, "p_value": p_value, "n": n, "note": note,
    }  # fmt: skip
