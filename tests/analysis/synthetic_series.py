"""Synthetic series with known truth: what detectors and associations are measured with.

All take a NumPy generator; nothing here touches global random state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Signal:
    """A series over training steps and the changes planted in it.

    `steps`, `values`, `stderr` have the shape `[n]`; `changes` holds, for each planted change, the
    number of the first checkpoint past its middle and its signed size.
    """

    steps: Array
    values: Array
    stderr: Array
    changes: tuple[tuple[int, float], ...] = ()


def ar1(rng: np.random.Generator, n: int, phi: float, size: int | None = None) -> Array:
    """Stationary AR(1) noise of unit marginal variance, `[n]` or `[size, n]`."""
    e = rng.standard_normal((1 if size is None else size, n))
    out = e.copy()
    for t in range(1, n):
        out[:, t] = phi * out[:, t - 1] + np.sqrt(1.0 - phi**2) * e[:, t]
    return out[0] if size is None else out


def log_steps(n: int, last: float = 1e6, rng: np.random.Generator | None = None) -> Array:
    """Step 0 and n - 1 log-spaced steps up to `last`; with a generator, unevenly spaced, `[n]`."""
    gaps = np.ones(n - 1) if rng is None else rng.uniform(0.2, 1.8, n - 1)
    locations = np.cumsum(gaps)
    powers = 3.0 + (np.log10(last) - 3.0) * (locations - locations[0]) / (
        locations[-1] - locations[0]
    )
    return np.concatenate([[0.0], np.round(10.0**powers)])


def sigmoid(n: int, middle: float, width: float) -> Array:
    """Logistic curve over checkpoints, from 0 to 1, `[n]`."""
    return 1.0 / (1.0 + np.exp(-(np.arange(n) - middle) / max(width, 1e-6)))


def steps_in_noise(
    rng: np.random.Generator,
    n: int = 60,
    changes: tuple[tuple[int, float], ...] = (),
    phi: float = 0.0,
    uneven: bool = False,
) -> Signal:
    """Level shifts `(first checkpoint, size)` in AR(1) noise of unit marginal variance."""
    values = ar1(rng, n, phi)
    for location, size in changes:
        values[location:] += size
    steps = log_steps(n, rng=rng if uneven else None)
    return Signal(steps, values, np.full(n, 0.3), changes)


def spoil(
    rng: np.random.Generator, signal: Signal, missing: float = 0.08, failed: float = 0.05
) -> Signal:
    """Take points away: some missing, some failed (far off, with an error that says so)."""
    values, stderr = signal.values.copy(), signal.stderr.copy()
    lot = rng.uniform(size=len(values))
    values[lot < missing] = np.nan
    bad = (lot >= missing) & (lot < missing + failed)
    values[bad] += rng.normal(0.0, 30.0, bad.sum())
    stderr[bad] = 30.0
    return Signal(signal.steps, values, stderr, signal.changes)


def random_walk(rng: np.random.Generator, n: int) -> Array:
    """Sum of unit normal increments, `[n]`."""
    return np.cumsum(rng.standard_normal(n))


def learning_curve(
    rng: np.random.Generator, n: int, noise: float = 0.05, phi: float = 0.0
) -> Array:
    """A sigmoid of random middle (in the middle two thirds) and width (1 to n / 10), `[n]`."""
    curve = sigmoid(n, rng.uniform(n / 6, 5 * n / 6), rng.uniform(1.0, max(n / 10, 1.5)))
    return curve + noise * ar1(rng, n, phi)
