"""Association of two series of one run.

Learning curves share their shape without any link, so levels say nothing. What is tested is the
change from checkpoint to checkpoint less the running median of such changes, as ranks: free of any
course that is smooth over a few checkpoints, and of single large changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]
Row = dict[str, object]
WINDOW = 7  # checkpoints of the running median
MIN_CHECKPOINTS = 20  # no p-value below
CHI2_95 = 3.841
SMOOTH = 1.5  # checkpoints, standard deviation of the kernel over changes
TOGETHER = 2  # checkpoints within which two transitions coincide
TOO_SHORT = f"no p-value below {MIN_CHECKPOINTS} checkpoints"
TREND = "descriptive: both follow training, so levels go together without any link"
ONE_RUN = "descriptive: learning curves turn at like times without any link; needs seeds"
# Windows of lags overlap when shifted: circular shifts then reach no p below (2 reach + 1) / n, and
# random phases call independent success rates linked in 18 % of trials. So lags have no test here.
LAGS = "descriptive: too few shifts to test the best of several lags in one run; needs seeds"
CURVES = "descriptive: how far apart the courses are, linked or not"
CONSTANT = "a series never changes"
NO_TRANSITION = "a series has no transition"
NAMES = ("level_r", "change_r", "lead_lag", "curve_lag", "coincidence")


@dataclass(frozen=True)
class Lag:
    """`lag` in checkpoints, positive when x moves first; 95 % interval; correlation there."""

    lag: float
    low: float
    high: float
    correlation: float


def within_run(x: Array, y: Array, x_changes: Array, y_changes: Array) -> list[Row]:
    """Statistics of an LLC series and a probe series of one run, at shared checkpoints.

    Args:
        x: LLC, `[n]`, finite.
        y: probe metric, `[n]`, finite.
        x_changes: transitions of the LLC, as numbers of checkpoints.
        y_changes: transitions of the probe.

    Returns:
        Rows with statistic, value, lag (checkpoints; positive: the LLC moves first), lag_low,
        lag_high, p_value, n and note.
    """
    n = len(x)
    if n < 4 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        note = CONSTANT if n >= 4 else "fewer than 4 shared checkpoints"
        return [statistic_row(name, n, note) for name in NAMES]
    u, v = detrended_ranks(x), detrended_ranks(y)
    change, p_change = shift_test(u, v)
    share, apart = coincidence(x_changes, y_changes)
    short = n < MIN_CHECKPOINTS
    tests = TOO_SHORT if short else ("" if np.isfinite(p_change) else CONSTANT)
    return [
        statistic_row("level_r", n, TREND, float(np.corrcoef(x, y)[0, 1])),
        statistic_row("change_r", n, tests, change, p_value=np.nan if short else p_change),
        _lag_row("lead_lag", n, LAGS, best_lag(u, v, max(1, n // 12))),
        _lag_row("curve_lag", n, CURVES, curve_lag(x, y)),
        statistic_row(
            "coincidence", n, ONE_RUN if np.isfinite(share) else NO_TRANSITION, share, apart
        ),
    ]


def _lag_row(statistic: str, n: int, note: str, lag: Lag) -> Row:
    row = statistic_row(statistic, n, note, lag.correlation, lag.lag)
    return row | {"lag_low": lag.low, "lag_high": lag.high}


def statistic_row(
    statistic: str,
    n: int,
    note: str,
    value: float = np.nan,
    lag: float = np.nan,
    p_value: float = np.nan,
) -> Row:
    """A row of table `associations`; `note` says why a number is missing."""
    return {
        "statistic": statistic, "value": value, "lag": lag, "lag_low": np.nan,
        "lag_high": np.nan, "p_value": p_value, "n": n, "note": note,
    }  # fmt: skip


def detrended_ranks(values: Array) -> Array:
    """Centered ranks of the detrended changes, unit length, `[n - 1]`; zeros if all are equal."""
    change = np.diff(values)
    rest = change - median_filter(change, WINDOW, mode="nearest")
    largest = np.max(np.abs(rest), initial=0.0)
    rest = np.round(rest / largest, 9) if largest > 0 else rest  # rounding noise makes no ranks
    ranks = rankdata(rest) - 0.5 * (len(rest) + 1)
    return np.asarray(ranks / max(float(np.linalg.norm(ranks)), 1e-12))


def shift_test(x: Array, y: Array) -> tuple[float, float]:
    """Correlation of two series of `detrended_ranks` `[n]`, and its p-value by circular shifts.

    `p = (1 + exceedances) / (1 + shifts)`, so at least 1 / n. NaN where a series never changes.
    """
    # correlations of x[t] with y[t + s] around the circle, for every shift s
    r = np.fft.irfft(np.conj(np.fft.rfft(x)) * np.fft.rfft(y), len(x))
    if not np.any(np.abs(r) > 1e-9):
        return np.nan, np.nan
    beaten = int(np.sum(np.abs(r[1:]) >= abs(r[0]) - 1e-12))
    return float(r[0]), (1 + beaten) / len(r)


def coincidence(first: Array, second: Array, window: int = TOGETHER) -> tuple[float, float]:
    """Share of the transitions of `first` that have one of `second` within the window.

    Args:
        first: transitions as numbers of checkpoints, `[k]`.
        second: those of another series, `[l]`.
        window: checkpoints.

    Returns:
        (share, mean of `second - first` over those pairs, in checkpoints), NaN where there is
        nothing to compare.
    """
    if len(first) == 0 or len(second) == 0:
        return np.nan, np.nan
    apart = second[None, :] - first[:, None]
    nearest = apart[np.arange(len(first)), np.argmin(np.abs(apart), axis=1)]
    hits = np.abs(nearest) <= window
    return float(hits.mean()), float(nearest[hits].mean()) if hits.any() else np.nan


def curve_lag(x: Array, y: Array) -> Lag:
    """Lag at which the course of y follows that of x, both `[n]`, linked or not.

    Compares lightly smoothed changes at lags of up to n / 6. NaN if a series is constant.
    """
    return best_lag(_smooth(np.diff(x)), _smooth(np.diff(y)), max(1, len(x) // 6))


def best_lag(dx: Array, dy: Array, reach: int) -> Lag:
    """The lag of largest squared correlation, and the span of lags nearly as likely.

    The interval holds the lags whose likelihood `-(m/2) log(1 - r^2)` is within 1.92 of the best,
    m being the number of changes less what their own correlation takes away (Bartlett).

    Args:
        dx: changes of x, `[n - 1]`, smoothed or as `detrended_ranks`.
        dy: changes of y.
        reach: lags tried to either side, in checkpoints.
    """
    lags = np.arange(-reach, reach + 1)
    r = np.array([_correlation(dx, dy, int(lag)) for lag in lags])
    if not np.any(np.isfinite(r)):
        return Lag(np.nan, np.nan, np.nan, np.nan)
    r = np.nan_to_num(r)
    loglik = -0.5 * effective_size(dx, dy) * np.log1p(-np.minimum(r**2, 1.0 - 1e-12))
    best = int(np.argmax(loglik))
    near = lags[2.0 * (loglik[best] - loglik) <= CHI2_95]
    return Lag(float(lags[best]), float(near.min()), float(near.max()), float(r[best]))


def effective_size(x: Array, y: Array) -> float:
    """Independent pairs among n correlated ones, `n / sum_k rho_x(k) rho_y(k)`, at least 3."""
    n = len(x)

    def autocorrelation(values: Array) -> Array:
        d = values - values.mean()
        total = max(float(d @ d), 1e-300)
        return np.array([float(d[k:] @ d[:-k]) / total for k in range(1, n // 4 + 1)])

    both = float(np.sum(autocorrelation(x) * autocorrelation(y)))
    return float(np.clip(n / max(1.0 + 2.0 * both, 0.5), 3.0, n))


def _correlation(x: Array, y: Array, lag: int) -> float:
    a, b = (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[:lag])
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 * len(a) else np.nan


def _smooth(d: Array) -> Array:
    k = np.arange(len(d))
    w = np.exp(-0.5 * ((k[:, None] - k[None, :]) / SMOOTH) ** 2)
    return np.asarray((w @ d) / w.sum(axis=1))
