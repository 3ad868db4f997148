"""The points of one series, cleaned: what every detector starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_slt import InputError

Array = npt.NDArray[np.float64]
WORTHLESS = 5.0  # times an ordinary point's noise: treated as missing
OUTLIER = 6.0  # robust standard deviations by which one point must stand off both its sides


@dataclass(frozen=True)
class Axis:
    """Where the points of a series lie and how much each is worth.

    Attributes:
        index: numbers of the checkpoints, `[m]`; unusable ones count, so that a gap stays a gap.
        scale: noise standard deviation of a point relative to an ordinary one, at least 1, `[m]`.
    """

    index: Array
    scale: Array

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def gaps(self) -> Array:
        """Checkpoints from each point to the one before it, `[m - 1]`, each at least 1."""
        return np.diff(self.index)


@dataclass(frozen=True)
class Points(Axis):
    """Usable points of a series, in order of step.

    Attributes:
        steps: environment steps, `[m]`.
        values: the series, `[m]`.
        stderr: its standard errors, 0 where none is known, `[m]`.
        grid: steps of all checkpoints, unusable ones included, `[n]`.
    """

    steps: Array
    values: Array
    stderr: Array
    grid: Array

    def earliest(self, location: float) -> float:
        """First checkpoint at which a change can be that the point at `location` shows first.

        That is the checkpoint after the last point before it: a gap hides when it came.
        """
        before = self.index[self.index < location]
        return float(before[-1] + 1.0) if len(before) else location


def clean_points(steps: object, values: object, stderr: object = None) -> Points:
    """Sort, drop what is unusable, and weight points by their standard error.

    Unusable: a value or standard error that is not finite, and a single point that stands off
    both its neighbors' sides by more than `OUTLIER` robust standard deviations (a failed estimate
    which did not say so), and a point of more than `WORTHLESS` times an ordinary one's noise.
    A smaller standard error takes weight away.

    Raises:
        InputError: on unequal lengths, and on steps that repeat, are negative or not finite.
    """
    x, y = _vector("steps", steps), _vector("values", values)
    s = np.zeros_like(y) if stderr is None else _vector("stderr", stderr)
    if not len(x) == len(y) == len(s):
        lengths = f"{len(x)}, {len(y)} and {len(s)}"
        raise InputError(f"steps, values and stderr: must have equal lengths, not {lengths}")
    if not np.all(np.isfinite(x)) or np.any(x < 0) or len(np.unique(x)) < len(x):
        raise InputError("steps: must be finite, at least 0 and without repeats")
    if np.any(s < 0):
        raise InputError.of("stderr", float(s[s < 0][0]), "at least 0, or NaN")
    order = np.argsort(x)
    x, y, s = x[order], y[order], s[order]
    index = np.flatnonzero(np.isfinite(y) & np.isfinite(s))
    index = index[~_isolated(y[index])]
    scale = _relative_scale(y[index], s[index])
    index, scale = index[scale <= WORTHLESS], scale[scale <= WORTHLESS]
    return Points(index.astype(float), scale, x[index], y[index], s[index], grid=x)


def _vector(name: str, values: object) -> Array:
    try:
        return pd.to_numeric(pd.Series(values)).to_numpy(dtype=float, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: must be a sequence of numbers: {error}") from error


def noise_level(values: Array) -> float:
    """Robust standard deviation of differences of neighbors, over sqrt(2)."""
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values))) / 0.6745 / np.sqrt(2.0))


def _isolated(values: Array) -> npt.NDArray[np.bool_]:
    """Points away from the medians of the two points on both sides, in one direction."""
    out = np.zeros(len(values), dtype=bool)
    limit = OUTLIER * noise_level(values)
    if len(values) < 5 or limit == 0.0:
        return out
    pairs = 0.5 * (values[1:] + values[:-1])
    left, right = values[2:-2] - pairs[:-3], values[2:-2] - pairs[3:]
    alone = (np.sign(left) == np.sign(right)) & (np.minimum(np.abs(left), np.abs(right)) > limit)
    out[2:-2] = alone
    return out


def _relative_scale(values: Array, stderr: Array) -> Array:
    """Noise of a point relative to an ordinary one: its excess error variance is added."""
    if len(values) < 5 or not np.any(stderr > 0):
        return np.ones_like(values)
    usual = float(np.median(stderr))
    noise = max(noise_level(values), usual, 1e-12 * float(np.max(stderr)))
    excess = np.maximum(stderr**2 - (2.0 * usual) ** 2, 0.0)
    return np.sqrt(1.0 + excess / noise**2)
