"""Likelihood of a mean curve under AR(1) noise, with gaps and unequal errors.

Model of the point i at checkpoint number k_i: `y_i = f(k_i) + s_i u_i`, with u a stationary AR(1)
process per checkpoint, `corr(u_i, u_j) = phi^|k_i - k_j|`, variance sigma^2, and the known relative
scale s_i. Prewhitening: `e_1 = u_1`, `e_i = (u_i - r_i u_{i-1}) / sqrt(1 - r_i^2)` with
`r_i = phi^gap_i`.
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
CHANGE_MAX = 0.5  # next to a change it may not: else a wandering series passes for steps


def prewhiten(columns: Array, phi: Array | float, gaps: Array) -> Array:
    """Columns `[m, k]` with the correlation of AR(1) noise taken out; `[p, m, k]` for phi `[p]`."""
    r = np.asarray(phi, dtype=float)[..., None, None] ** gaps[:, None]
    out = np.empty((*r.shape[:-2], *columns.shape))
    out[..., :1, :] = columns[:1]
    out[..., 1:, :] = (columns[1:] - r * columns[:-1]) / np.sqrt(1.0 - r**2)
    return out


def log_volume(phi: Array | float, gaps: Array) -> Array:
    """Log determinant term of the likelihood, `-1/2 sum log(1 - r_i^2)`, for each phi."""
    powers = np.asarray(phi, dtype=float)[..., None] ** (2.0 * gaps)
    return np.asarray(-0.5 * np.sum(np.log1p(-powers), axis=-1))


def min_rss(values: Array) -> Array:
    """Least residual sum of squares taken seriously, per series `[s, m]`, `[s]`."""
    return 1e-24 * np.maximum(np.sum(values**2, axis=1), 1e-276)


@dataclass(frozen=True)
class Bases:
    """Prewhitened at each phi `[p]`: orthonormal base, unit candidates orthogonal to it.

    Attributes:
        phi: correlations, `[p]`.
        base: `[p, m, b]`.
        columns: `[p, m, k]`; zero where a candidate lies within the span of the base.
    """

    phi: Array
    base: Array
    columns: Array


def bases(axis: Axis, base: Array, columns: Array, cap: float) -> Bases:
    """Base and candidates at each phi up to cap; cached."""
    inverse = 1.0 / axis.scale[:, None]
    arrays = (axis.gaps, base * inverse, columns * inverse)
    return _bases(len(axis), *(array.tobytes() for array in arrays), cap)  # bytes can be a key


def null_loglik(values: Array, axis: Axis, base: Array) -> Array:
    """Log likelihood of the base model at its best phi up to NULL_MAX, `[s]`."""
    of = bases(axis, base, base[:, :0], NULL_MAX)
    logs = loglik(residuals(values, axis, of)[1], axis, of.phi)
    return np.asarray(np.max(logs, axis=0))


def residuals(values: Array, axis: Axis, of: Bases) -> tuple[Array, Array]:
    """Prewhitened residuals of series `[s, m]` from the base, `[p, m, s]`; sums of squares."""
    e = prewhiten((values / axis.scale).T, of.phi, axis.gaps)
    e -= of.base @ (of.base.transpose(0, 2, 1) @ e)
    return e, np.maximum(np.einsum("pms,pms->ps", e, e), min_rss(values))


def loglik(rss: Array, axis: Axis, phi: Array) -> Array:
    """Gaussian log likelihood with its variance at the best value, up to a constant.

    Args:
        rss: prewhitened sums of squares, `[p, ...]`.
        axis: the points.
        phi: correlations, `[p]`.
    """
    volume = log_volume(phi, axis.gaps).reshape(-1, *([1] * (rss.ndim - 1)))
    return volume - 0.5 * len(axis) * np.log(rss)


def candidate_logliks(values: Array, axis: Axis, base: Array, columns: Array) -> Array:
    """Log likelihoods with one candidate next to the base, at the best phi up to CHANGE_MAX.

    Args:
        values: series `[s, m]` on one axis.
        axis: checkpoints and relative noise of the points.
        base: columns that every model has, `[m, b]`, the constant among them.
        columns: candidates `[m, k]`, each tried alone next to the base.

    Returns:
        `[s, k]`.
    """
    of = bases(axis, base, columns, CHANGE_MAX)
    e, rss = residuals(values, axis, of)
    left = rss[:, :, None] - (e.transpose(0, 2, 1) @ of.columns) ** 2
    logs = loglik(np.maximum(left, min_rss(values)[:, None]), axis, of.phi)
    return np.asarray(np.max(logs, axis=0))


@lru_cache(maxsize=64)
def _bases(m: int, gaps: bytes, base: bytes, columns: bytes, cap: float) -> Bases:
    phi, gap = _GRID[cap >= _GRID], np.frombuffer(gaps)
    q0, _ = np.linalg.qr(prewhiten(np.frombuffer(base).reshape(m, -1), phi, gap))
    q = prewhiten(np.frombuffer(columns).reshape(m, -1), phi, gap)
    q -= q0 @ (q0.transpose(0, 2, 1) @ q)
    length = np.linalg.norm(q, axis=1, keepdims=True)
    return Bases(phi, q0, np.where(length > 1e-9, q / np.maximum(length, 1e-9), 0.0))


@dataclass(frozen=True)
class Fit:
    """Generalized least squares of a design `[m, b]` at the most likely phi."""

    phi: float
    sigma: float  # marginal noise of an ordinary point, in units of the series
    coefficients: Array
    covariance: Array


def fit_design(points: Points, design: Array, cap: float) -> Fit:
    """Fit a mean curve; `sigma` never falls below the usual standard error of the points."""
    m, b = design.shape
    y = points.values[None]
    of = bases(points, design, design[:, :0], cap)
    rss = residuals(y, points, of)[1]
    best = int(np.argmax(loglik(rss, points, of.phi)[:, 0]))
    phi = float(of.phi[best])
    x = prewhiten(design / points.scale[:, None], phi, points.gaps)
    e = prewhiten((y / points.scale).T, phi, points.gaps)[:, 0]
    coefficients, *_ = np.linalg.lstsq(x, e, rcond=None)
    sigma = max(float(np.sqrt(rss[best, 0] / max(m - b, 1))), float(np.median(points.stderr)))
    return Fit(phi, sigma, coefficients, sigma**2 * np.linalg.pinv(x.T @ x))
