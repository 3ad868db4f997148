"""Do transitions of two series come at the same time?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
WINDOW = 2  # checkpoints within which two transitions coincide


def places(transitions: pd.DataFrame, steps: Array) -> Array:
    """Transitions as numbers of checkpoints in `steps` `[n]`, the nearest each, `[k]`."""
    at = transitions["step"].to_numpy(dtype=float)
    nearest = np.abs(np.log1p(at)[:, None] - np.log1p(steps)[None, :])
    return np.argmin(nearest, axis=1).astype(float) if len(at) else np.empty(0)


def coincidence(first: Array, second: Array, window: int = WINDOW) -> tuple[float, float]:
    """Share of the transitions of `first` that have one of `second` within the window.

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
