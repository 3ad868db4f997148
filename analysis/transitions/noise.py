"""Likelihood of a mean curve under AR(1) noise, with gaps and unequal errors.

Model of the point i at checkpoint number k_i: `y_i = f(k_i) + s_i u_i`, with u a stationary AR(1)
process per checkpoint, `corr(u_i, u_j) = phi^|k_i - k_j|`, variance sigma^2, and the known relative
scale s_i. Whitening: `e_1 = u_1`, `e_i = (u_i - r_i u_{i-1}) / sqrt(1 - r_i^2)`, `r_i = phi^gap_i`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.transitions.points import Points

Array = npt.NDArray[np.float64]
_GRID: Array = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9])
NULL_MAX = 0.9  # without a change, noise may be this correlated
CHANGE_MAX = 0.65  # beside a change it may not: else a wandering series passes for steps


def phis(cap: float) -> list[float]:
    """Correlations tried, from 0 up to cap."""
    return [float(phi) for phi in _GRID if phi <= cap]


def whiten(columns: Array, phi: float, gaps: Array) -> Array:
    """Whitened columns `[m, k]` of unit marginal variance, for noise of correlation phi."""
    r = phi ** gaps[:, None]
    out = np.array(columns, dtype=float)
    out[1:] = (columns[1:] - r * columns[:-1]) / np.sqrt(1.0 - r**2)
    return out


def log_volume(phi: float, gaps: Array) -> float:
    """Log determinant term of the likelihood, `-1/2 sum log(1 - r_i^2)`."""
    return float(-0.5 * np.sum(np.log1p(-(phi ** (2.0 * gaps)))))


def scores(points: Points, base: Array, columns: Array, cap: float) -> tuple[Array, Array]:
    """Profile log likelihoods of the base model, and of it with one column more.

    Args:
        points: the series, `[m]`.
        base: columns that every model has, `[m, b]`, the constant among them.
        columns: candidate columns `[m, k]`, each tried alone beside the base.
        cap: largest correlation allowed when a candidate is in.

    Returns:
        (scalar array: base model with phi up to NULL_MAX, array `[k]`: with phi up to cap).
    """
    m = len(points)
    y = (points.values / points.scale)[:, None]
    plain = np.all(points.scale == 1.0)
    key = tuple(points.gaps.tolist())
    null, best = -np.inf, np.full(columns.shape[1], -np.inf)
    for phi in phis(max(NULL_MAX, cap)):
        if plain:
            q0, q = _bases(key, phi, _Key(base), _Key(columns))
        else:
            inverse = 1.0 / points.scale[:, None]
            q0, q = _orthogonal(base * inverse, columns * inverse, phi, points.gaps)
        e = whiten(y, phi, points.gaps)
        e = e - q0 @ (q0.T @ e)
        rss = float(np.sum(e**2))
        volume = log_volume(phi, points.gaps)
        tiny = 1e-24 * max(float(np.sum(y**2)), 1e-300)
        if phi <= NULL_MAX:
            null = max(null, volume - 0.5 * m * np.log(max(rss, tiny)))
        if phi <= cap:
            with_column = np.maximum(rss - (q.T @ e)[:, 0] ** 2, tiny)
            best = np.maximum(best, volume - 0.5 * m * np.log(with_column))
    return np.asarray(null), best


class _Key:
    """An array as a cache key, by content."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.content = (array.shape, array.tobytes())

    def __hash__(self) -> int:
        return hash(self.content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.content == other.content


@lru_cache(maxsize=192)
def _bases(gaps: tuple[float, ...], phi: float, base: _Key, columns: _Key) -> tuple[Array, Array]:
    return _orthogonal(base.array, columns.array, phi, np.asarray(gaps))


def _orthogonal(base: Array, columns: Array, phi: float, gaps: Array) -> tuple[Array, Array]:
    """Orthonormal base, and candidate columns of unit length orthogonal to it, all whitened."""
    q0, _ = np.linalg.qr(whiten(base, phi, gaps))
    q = whiten(columns, phi, gaps)
    q -= q0 @ (q0.T @ q)
    length = np.linalg.norm(q, axis=0)
    return q0, np.where(length > 1e-9, q / np.maximum(length, 1e-9), 0.0)


@dataclass(frozen=True)
class Fit:
    """Generalised least squares of a design `[m, b]` at the most likely phi."""

    loglik: float
    phi: float
    sigma: float  # marginal noise of an ordinary point, in units of the series
    coefficients: Array
    errors: Array


def fit_design(points: Points, design: Array, cap: float) -> Fit:
    """Fit a mean curve; `sigma` never falls below the usual standard error of the points."""
    m, b = design.shape
    y = points.values / points.scale
    x = design / points.scale[:, None]
    best: tuple[float, float, float, Array, Array] | None = None
    for phi in phis(cap):
        wx = whiten(x, phi, points.gaps)
        wy = whiten(y[:, None], phi, points.gaps)[:, 0]
        coefficients, *_ = np.linalg.lstsq(wx, wy, rcond=None)
        rss = max(float(np.sum((wy - wx @ coefficients) ** 2)), 1e-24 * float(np.sum(y**2)), 1e-300)
        loglik = log_volume(phi, points.gaps) - 0.5 * m * np.log(rss)
        if best is None or loglik > best[0]:
            best = (loglik, phi, rss, coefficients, np.linalg.pinv(wx.T @ wx))
    assert best is not None
    loglik, phi, rss, coefficients, inverse = best
    sigma = max(np.sqrt(rss / max(m - b, 1)), float(np.median(points.stderr)))
    return Fit(loglik, phi, sigma, coefficients, sigma * np.sqrt(np.diag(inverse)))
