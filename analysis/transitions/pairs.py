"""Two ramps of one width at once: a rise and fall that a single ramp does not see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.transitions.noise import bases, floor_of, log_volume, residuals
from analysis.transitions.points import Axis
from analysis.transitions.shapes import Family

Array = npt.NDArray[np.float64]
PAIR_WIDTHS = (1.0, 4.0, 8.0)
PAIR_MAX = 0.5  # largest correlation beside a pair


def pair_logliks(
    values: Array, axis: Axis, family: Family
) -> dict[str, tuple[Array, npt.NDArray[np.int_]]]:
    """Largest log likelihood with two ramps of one width, for each width.

    Args:
        values: series `[s, m]`.
        axis: their checkpoints and relative noise.
        family: ramps to pair.

    Returns:
        Name of the part to (log likelihood `[s]`, members of the family `[s, 2]`).
    """
    out: dict[str, tuple[Array, npt.NDArray[np.int_]]] = {}
    one = np.ones((len(axis), 1))
    for width in PAIR_WIDTHS:
        of = np.flatnonzero(family.width == width)
        if len(of) < 4:
            continue
        first, second = np.triu_indices(len(of), k=2)
        best = np.full(len(values), -np.inf)
        both = np.zeros((len(values), 2), dtype=int)
        every = bases(axis, one, family.columns[:, of], PAIR_MAX)
        e, rss = residuals(values, axis, every)
        volume = log_volume(every.phi, axis.gaps)
        for p in range(0, len(every.phi), 2):
            q = every.columns[p]
            explained = _explained(e[p].T @ q, q.T @ q, first, second)
            top = np.argmax(explained, axis=1)
            left = np.maximum(rss[p] - explained[np.arange(len(values)), top], floor_of(values))
            logs = volume[p] - 0.5 * len(axis) * np.log(left)
            better = logs > best
            best[better] = logs[better]
            both[better] = np.column_stack([of[first[top]], of[second[top]]])[better]
        out[f"two {width:g}"] = (best, both)
    return out


def _explained(
    z: Array, gram: Array, first: npt.NDArray[np.int_], second: npt.NDArray[np.int_]
) -> Array:
    """Sum of squares explained by two unit columns, `(a^2 + b^2 - 2 g a b) / (1 - g^2)`."""
    g = gram[first, second]
    a, b = z[:, first], z[:, second]
    free = 1.0 - g**2
    return np.where(free > 1e-6, (a**2 + b**2 - 2.0 * g * a * b) / np.maximum(free, 1e-6), 0.0)
