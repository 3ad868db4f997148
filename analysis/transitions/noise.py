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

from analysis.transitions.points import Axis, Points

Array = npt.NDArray[np.float64]
_GRID: Array = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9])
NULL_MAX = 0.9  # without a change, noise may be this correlated
CHANGE_MAX = 0.5  # beside a change it may not: else a wandering series passes for steps


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


def floor_of(values: Array) -> Array:
    """Least residual sum of squares taken seriously, per series `[s, m]`, `[s]`."""
    return 1e-24 * np.maximum(np.sum(values**2, axis=1), 1e-276)


@dataclass(frozen=True)
class Bases:
    """Whitened at one phi: orthonormal base `[m, b]`, candidates `[m, k]` orthogonal to it."""

    base: Array
    columns: Array


def bases(axis: Axis, base: Array, columns: Array, cap: float) -> dict[float, Bases]:
    """Base and unit candidates at each phi up to cap; cached.

    Candidates within the span of the base become zero.
    """
    inverse = 1.0 / axis.scale[:, None]
    return _bases(_Key(axis.gaps), _Key(base * inverse), _Key(columns * inverse), cap)


def null_loglik(values: Array, axis: Axis, base: Array) -> Array:
    """Log likelihood of the base model at its best phi up to NULL_MAX, `[s]`."""
    best = np.full(len(values), -np.inf)
    for phi, of in bases(axis, base, base[:, :0], NULL_MAX).items():
        _, rss = residuals(values, axis, of, phi)
        best = np.maximum(best, loglik(rss, axis, phi))
    return best


def residuals(values: Array, axis: Axis, of: Bases, phi: float) -> tuple[Array, Array]:
    """Whitened residuals of series `[s, m]` from the base, `[m, s]`, and their squares, `[s]`."""
    e = whiten((values / axis.scale).T, phi, axis.gaps)
    e = e - of.base @ (of.base.T @ e)
    return e, np.maximum(np.sum(e**2, axis=0), floor_of(values))


def loglik(rss: Array, axis: Axis, phi: float) -> Array:
    """Gaussian log likelihood with its variance at the best value, up to a constant."""
    return log_volume(phi, axis.gaps) - 0.5 * len(axis) * np.log(rss)


def candidate_logliks(values: Array, axis: Axis, base: Array, columns: Array) -> Array:
    """Log likelihoods with one candidate beside the base, at the best phi up to CHANGE_MAX.

    Args:
        values: series `[s, m]` on one axis.
        axis: checkpoints and relative noise of the points.
        base: columns that every model has, `[m, b]`, the constant among them.
        columns: candidates `[m, k]`, each tried alone beside the base.

    Returns:
        `[s, k]`.
    """
    best = np.full((len(values), columns.shape[1]), -np.inf)
    for phi, of in bases(axis, base, columns, CHANGE_MAX).items():
        e, rss = residuals(values, axis, of, phi)
        left = rss[:, None] - (e.T @ of.columns) ** 2
        best = np.maximum(best, loglik(np.maximum(left, floor_of(values)[:, None]), axis, phi))
    return best


class _Key:
    """An array as a cache key, by content."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.content = (array.shape, array.tobytes())
        self.hash = hash(self.content)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.content == other.content


@lru_cache(maxsize=32)
def _bases(gaps: _Key, base: _Key, columns: _Key, cap: float) -> dict[float, Bases]:
    return {phi: _orthogonal(base.array, columns.array, phi, gaps.array) for phi in phis(cap)}


def _orthogonal(base: Array, columns: Array, phi: float, gaps: Array) -> Bases:
    q0, _ = np.linalg.qr(whiten(base, phi, gaps))
    q = whiten(columns, phi, gaps)
    q -= q0 @ (q0.T @ q)
    length = np.linalg.norm(q, axis=0)
    return Bases(q0, np.where(length > 1e-9, q / np.maximum(length, 1e-9), 0.0))


@dataclass(frozen=True)
class Fit:
    """Generalised least squares of a design `[m, b]` at the most likely phi."""

    phi: float
    sigma: float  # marginal noise of an ordinary point, in units of the series
    coefficients: Array
    covariance: Array


def fit_design(points: Points, design: Array, cap: float) -> Fit:
    """Fit a mean curve; `sigma` never falls below the usual standard error of the points."""
    m, b = design.shape
    axis, y = points.axis, points.values[None]
    of = bases(axis, design, design[:, :0], cap)
    rss = {phi: residuals(y, axis, of[phi], phi)[1] for phi in of}
    phi = max(of, key=lambda p: float(loglik(rss[p], axis, p)[0]))
    x = whiten(design / axis.scale[:, None], phi, axis.gaps)
    e = whiten((y / axis.scale).T, phi, axis.gaps)[:, 0]
    coefficients, *_ = np.linalg.lstsq(x, e, rcond=None)
    sigma = max(float(np.sqrt(rss[phi][0] / max(m - b, 1))), float(np.median(points.stderr)))
    return Fit(phi, sigma, coefficients, sigma**2 * np.linalg.pinv(x.T @ x))
