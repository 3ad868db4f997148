"""What is left of a series once its course is taken away, and how two such rests go together.

Learning curves share their shape without any link, so levels say nothing. What is compared here is
the change from checkpoint to checkpoint less the running median of such changes, as ranks: free of
any course that is smooth over a few checkpoints, and of single large changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]
WINDOW = 7  # checkpoints of the running median
MIN_CHECKPOINTS = 20  # no p-value below


def innovations(values: Array) -> Array:
    """Centred ranks of the detrended changes, unit length, `[n - 1]`; zeros if all are equal."""
    change = np.diff(values)
    rest = change - median_filter(change, WINDOW, mode="nearest")
    spread = np.max(np.abs(rest), initial=0.0)
    rest = np.round(rest / spread, 9) if spread > 0 else rest  # rounding noise makes no ranks
    ranks = rankdata(rest) - 0.5 * (len(rest) + 1)
    return np.asarray(ranks / max(float(np.linalg.norm(ranks)), 1e-12))


def circular_correlations(x: Array, y: Array) -> Array:
    """Correlation of `x[t]` with `y[t + s]` around the circle, for every shift s, `[n]`."""
    spectrum = np.conj(np.fft.rfft(x)) * np.fft.rfft(y)
    return np.asarray(np.fft.irfft(spectrum, len(x)))


def shift_test(x: Array, y: Array) -> tuple[float, float]:
    """Correlation of two innovation series `[n]`, and its p-value against circular shifts.

    `p = (1 + exceedances) / (1 + shifts)`, so at least 1 / n. NaN where a series never changes.
    """
    r = circular_correlations(x, y)
    if not np.any(np.abs(r) > 1e-9):
        return np.nan, np.nan
    beaten = int(np.sum(np.abs(r[1:]) >= abs(r[0]) - 1e-12))
    return float(r[0]), (1 + beaten) / len(r)
