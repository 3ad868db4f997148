"""Which of two series moves first, by how many checkpoints, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
SMOOTH = 1.5  # checkpoints, standard deviation of the kernel over changes
_CHI2_95 = 3.841


@dataclass(frozen=True)
class Lag:
    """`lag` in checkpoints, positive when x moves first; 95 % interval; correlation there."""

    lag: float
    low: float
    high: float
    correlation: float


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
    near = lags[2.0 * (loglik[best] - loglik) <= _CHI2_95]
    return Lag(float(lags[best]), float(near.min()), float(near.max()), float(r[best]))


def effective_size(x: Array, y: Array) -> float:
    """Independent pairs among n correlated ones, `n / sum_k rho_x(k) rho_y(k)`, at least 3."""
    n = len(x)
    count = n // 4
    rho_x, rho_y = _autocorrelation(x, count), _autocorrelation(y, count)
    return float(np.clip(n / max(1.0 + 2.0 * float(np.sum(rho_x * rho_y)), 0.5), 3.0, n))


def _autocorrelation(x: Array, count: int) -> Array:
    d = x - x.mean()
    total = max(float(d @ d), 1e-300)
    return np.array([float(d[k:] @ d[:-k]) / total for k in range(1, count + 1)])


def _correlation(x: Array, y: Array, lag: int) -> float:
    a, b = (x[: len(x) - lag], y[lag:]) if lag >= 0 else (x[-lag:], y[:lag])
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 * len(a) else np.nan


def _smooth(d: Array) -> Array:
    k = np.arange(len(d))
    w = np.exp(-0.5 * ((k[:, None] - k[None, :]) / SMOOTH) ** 2)
    return np.asarray((w @ d) / w.sum(axis=1))
