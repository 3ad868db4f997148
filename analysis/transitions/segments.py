"""Best piecewise-constant curves with a given number of changes, by dynamic programming."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.transitions.noise import log_volume, min_rss, prewhiten
from analysis.transitions.points import Axis

Array = npt.NDArray[np.float64]
MIN_SIZE = 2  # points of a segment
MAX_CHANGES = 4
SEGMENT_PHIS = (0.0, 0.2, 0.4, 0.5)


def segment_costs(values: Array, axis: Axis, phi: float) -> Array:
    """Generalized squared error of every segment around its own level, `[s, m + 1, m + 1]`.

    Each segment starts again from the stationary distribution, so that costs of segments add up:
    `c(a, b) = min_mu u_a^2 + sum_{a < t < b} (u_t - r_t u_{t-1})^2 / (1 - r_t^2)` with
    `u = (y - mu) / scale`. Entry (a, b) holds the segment `[a, b)`; infinite when too short.

    Args:
        values: series `[s, m]`.
        axis: their checkpoints and relative noise.
        phi: correlation of neighboring checkpoints, at least 0 and below 1.
    """
    s, m = values.shape
    y, one = values / axis.scale, 1.0 / axis.scale
    ey, e1 = prewhiten(y.T, phi, axis.gaps).T, prewhiten(one[:, None], phi, axis.gaps)[:, 0]

    def sums(first: Array, later: Array) -> Array:
        total = np.concatenate([np.zeros((len(later), 1)), np.cumsum(later, axis=1)], axis=1)
        return total[:, None, :] - total[:, 1:, None] + first[:, :, None]

    yy, y1 = sums(y * y, ey * ey), sums(y * one, ey * e1)
    ones = sums((one * one)[None], (e1 * e1)[None])
    size = np.arange(m + 1)[None, :] - np.arange(m)[:, None]
    fits = size >= MIN_SIZE
    cost = np.full((s, m + 1, m + 1), np.inf)
    cost[:, :m][:, fits] = (yy - y1**2 / np.where(fits, ones, 1.0))[:, fits]
    return np.maximum(cost, 0.0)


def best_segments(values: Array, axis: Axis) -> tuple[Array, npt.NDArray[np.int_]]:
    """Log likelihoods with 1 to MAX_CHANGES changes, and where the changes are.

    Args:
        values: series `[s, m]`.
        axis: their checkpoints and relative noise.

    Returns:
        (`[s, MAX_CHANGES]`, `[s, MAX_CHANGES, MAX_CHANGES]`: positions of the first points of new
        segments, from the last change to the first, -1 beyond).
    """
    s, m = values.shape
    best = np.full((s, MAX_CHANGES), -np.inf)
    where = np.full((s, MAX_CHANGES, MAX_CHANGES), -1)
    for phi in SEGMENT_PHIS:
        cost = segment_costs(values, axis, phi)
        mean_gap = float(log_volume(phi, axis.gaps)) / max(m - 1, 1)
        reach, back = cost[:, 0, :], []
        for changes in range(1, MAX_CHANGES + 1):
            through = reach[:, :, None] + cost
            back.append(np.argmin(through, axis=1))
            reach = np.take_along_axis(through, back[-1][:, None, :], axis=1)[:, 0, :]
            rss = np.maximum(reach[:, m], min_rss(values))
            logs = mean_gap * (m - 1 - changes) - 0.5 * m * np.log(rss)
            better = logs > best[:, changes - 1]
            best[better, changes - 1] = logs[better]
            end = np.full(s, m)
            for j, first in enumerate(reversed(back)):  # from the last change back to the first
                end = first[np.arange(s), end]
                where[better, changes - 1, j] = end[better]
    return best, where
