"""Importance sampling along rays from w*: how much of the localizer's mass lies near w*.

In coordinates z with `w = w* + T z`, and with directions s uniform on the unit sphere of R^d,

    E_localizer[f] = E_s[ |det M| int r^(d-1) exp(-|M s|^2 r^2 / 2) f(w* + r T s) dr / c_d ],

`M = sqrt(gamma) T`, `c_d = int r^(d-1) exp(-r^2 / 2) dr`: the radius is integrated, the direction
sampled, with a T that makes the region round (Scherlis & Belrose 2025, arXiv 2501.18812, section
3). The logarithm of a mean over directions is too small on average (Jensen), so that -log comes
out too large; and where few directions carry the mean it is no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import logsumexp
from torch import Generator, Tensor

from rl_slt.posterior.target import Preconditioner

Array = NDArray[np.float64]

# Radii that are looked at, over sqrt(d): where d is large nearly all mass is next to 1, so that
# every other one is enough. The last is further out where d is small.
NODES = (0.125, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
LARGE, BEYOND, FINE = 1000, 5.0, 8000
LEAST_ESS, MOST_K = 25.0, 0.7  # effective directions; tail index of the weights (Vehtari 2024)
PILOT = 32  # directions after which a hopeless estimate is given up
HOPELESS = 0.05  # effective directions of each


@dataclass(frozen=True)
class Share:
    """`-log` of a share of mass, nats.

    Attributes:
        value: NaN where it has no support.
        stderr: its standard error.
        bias: how much too large it is by Jensen's inequality, from the two halves of directions.
        ess: effective directions.
        k: tail index of the directions' weights; above 0.7 their mean is not to be had.
        directions: how many were looked at.
        message: why there is no value; empty where there is one.
        dof: degrees of freedom of the error; None where it is a normal one.
    """

    value: float
    stderr: float
    bias: float = math.nan
    ess: float = math.nan
    k: float = math.nan
    directions: int = 0
    message: str = ""
    dof: int | None = None


def refused(message: str) -> Share:
    """No number, and why."""
    return Share(math.nan, math.nan, message=message)


@dataclass(frozen=True, eq=False)
class Rays:
    """A function of the weights, 0 at w*, along rays.

    Attributes:
        dim: d.
        radii: in the coordinates of T `[R]`, rising from 0.
        values: what the function is there `[D, R]`.
        stretch: `|M s|^2` of each ray `[D]`.
        log_det: `log |det M|`.
    """

    dim: int
    radii: Array
    values: Array
    stretch: Array
    log_det: float

    def log_mass(self, log_f: Callable[[Array], Array]) -> Array:
        """`log` of each direction's part of `E_localizer[f]` `[D]`; the mass is their mean.

        Args:
            log_f: from values of the function `[n]` to `log f` there, at most 0.
        """
        r = np.linspace(0, self.radii[-1], FINE + 1)[1:]
        log_r = (self.dim - 1) * np.log(r)
        whole = logsumexp(log_r - 0.5 * r**2)
        # A loss is about quadratic, so that its root is about a line.
        root = np.sign(self.values) * np.sqrt(np.abs(self.values))
        out = np.empty(len(root))
        for k, (row, stretch) in enumerate(zip(root, self.stretch, strict=True)):
            at = PchipInterpolator(self.radii, row)(r)
            out[k] = logsumexp(log_r - 0.5 * stretch * r**2 + log_f(at * np.abs(at)))
        return out - whole + self.log_det

    def share(self, log_f: Callable[[Array], Array]) -> Share:
        """`-log E_localizer[f]`, refused where few directions carry it; see `log_mass`."""
        return share_of(self.log_mass(log_f))


def share_of(log_mass: Array) -> Share:
    """`-log` of the mean of `exp(log_mass)` over directions `[D]`, and whether it has support."""
    n = len(log_mass)
    if not np.isfinite(log_mass).any():
        return Share(math.nan, math.nan, ess=0.0, directions=n, message="no ray meets the region")
    w = np.exp(log_mass - log_mass.max())
    ess, k = float(w.sum() ** 2 / (w**2).sum()), _tail_index(w)
    value = -_log_mean(log_mass)
    halves = -(_log_mean(log_mass[::2]) + _log_mean(log_mass[1::2])) / 2
    message = ""
    if ess < LEAST_ESS:
        message = f"{ess:.1f} of {n} directions carry the mean; it takes {LEAST_ESS:g}"
    elif k > MOST_K:
        message = f"the weights of directions have tail index {k:.2f}; at most {MOST_K} has a mean"
    stderr = float(w.std() / w.mean() / math.sqrt(n))
    if message:
        value = stderr = math.nan
    return Share(value, stderr, halves - value, ess, k, n, message)


def _tail_index(w: Array) -> float:
    """Of the generalized Pareto distribution of the largest weights; -inf where all are equal."""
    if w.max() - w.min() <= 1e-4 * w.max():
        return -math.inf
    with np.errstate(all="ignore"):  # of weights with ties
        return float(array_stats.psislw(-np.log(w.clip(min=1e-300)))[1])  # it takes the negatives


def _log_mean(log_w: Array) -> float:
    return float(logsumexp(log_w) - math.log(len(log_w)))


def rays_of(
    center: Tensor,
    localization: float,
    value: Callable[[Tensor], float],
    t: Preconditioner,
    count: int,
    generator: Generator,
    log_f: Callable[[Array], Array],
) -> Rays:
    """A function along rays in random directions, fewer where they show that it is hopeless.

    Args:
        center: w* `[d]`.
        localization: gamma, above 0.
        value: the function, of weights `[d]`; 0 at w*.
        t: T, in units of weights.
        count: of rays, D.
        generator: of the directions.
        log_f: by which the first rays are judged, as for `Rays.log_mass`.
    """
    d = len(center)
    nodes = NODES[:: 2 if d > LARGE else 1]
    radii = math.sqrt(d) * np.array([0.0, *nodes, NODES[-1] + BEYOND / math.sqrt(d)])
    values, stretch = np.zeros((count, len(radii))), np.empty(count)
    log_det = float(t.shrink.double().log().sum() + _log_scale(t, localization, d))
    for k in range(count):
        s = center.clone().normal_(generator=generator)
        way = t.forward((s / s.norm())[None])[0][0]
        stretch[k] = localization * float(way.double().square().sum())
        values[k, 1:] = [value(center + float(r) * way) for r in radii[1:]]
        if k + 1 == PILOT and count > PILOT:
            rays = Rays(d, radii, values[:PILOT], stretch[:PILOT], log_det)
            if not share_of(rays.log_mass(log_f)).ess > HOPELESS * PILOT:
                return rays
    return Rays(d, radii, values, stretch, log_det)


def _log_scale(t: Preconditioner, localization: float, d: int) -> Tensor:
    """`log det` of `sqrt(gamma)` times T's scale."""
    return (t.scale.double() * math.sqrt(localization)).log().expand(d).sum()
