"""The points of one series, cleaned: what the search for transitions starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_slt import InputError

Array = npt.NDArray[np.float64]
OUTLIER = 6.0  # robust standard deviations by which one point must stand off both its sides


@dataclass(frozen=True)
class Points:
    """Usable points of a series, in order of step.

    Attributes:
        index: numbers of the checkpoints, `[m]`; unusable ones count, so that a gap stays a gap.
        steps: environment steps, `[m]`.
        values: the series, `[m]`.
        stderr: its standard errors, 0 where none is known, `[m]`.
        exact: whether the values are known to have no error, and are not rounded to few.
    """

    index: Array
    steps: Array
    values: Array
    stderr: Array
    exact: bool = False

    def __len__(self) -> int:
        return len(self.index)

    @property
    def resolution(self) -> float:
        """Smallest difference between two values that are not equal; infinite if all are."""
        least = 1e-12 * np.max(np.abs(self.values), initial=0.0)  # what differs by rounding alone
        apart = np.diff(np.sort(self.values))
        return float(np.min(apart[apart > least], initial=np.inf))


def clean_points(steps: object, values: object, stderr: object = None) -> Points:
    """Sort, and drop what is unusable.

    Unusable: a value or standard error that is not finite, and a single point that stands off
    both its neighbors' sides by more than `OUTLIER` robust standard deviations and standard errors
    of its own (a failed estimate which did not say so). Where no standard error is a number they
    count as missing; where all are 0 the values are exact.

    Raises:
        InputError: on unequal lengths, on steps that repeat, are negative or not finite, and on
            negative standard errors.
    """
    x, y = _vector("steps", steps), _vector("values", values)
    s = np.full_like(y, np.nan) if stderr is None else _vector("stderr", stderr)
    if not len(x) == len(y) == len(s):
        lengths = f"{len(x)}, {len(y)} and {len(s)}"
        raise InputError(f"steps, values and stderr: must have equal lengths, not {lengths}")
    if not np.all(np.isfinite(x)) or np.any(x < 0) or len(np.unique(x)) < len(x):
        raise InputError("steps: must be finite, at least 0 and without repeats")
    if np.any(s < 0):
        raise InputError.of("stderr", float(s[s < 0][0]), "at least 0, or NaN")
    order = np.argsort(x)
    told = bool(np.isfinite(s).any())
    x, y, s = x[order], y[order], s[order] if told else np.zeros_like(y)
    index = np.flatnonzero(np.isfinite(y) & np.isfinite(s))
    index = index[~_isolated(y[index], s[index])]
    many = len(np.unique(y[index])) > len(index) / 2
    exact = told and many and not s[index].any()
    return Points(index.astype(float), x[index], y[index], s[index], exact)


def _vector(name: str, values: object) -> Array:
    if type(values) is np.ndarray and values.dtype == float and values.ndim == 1:
        return values.copy()
    try:
        return pd.to_numeric(pd.Series(values)).to_numpy(dtype=float, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: must be a sequence of numbers: {error}") from error


def noise_level(values: Array) -> float:
    """Robust standard deviation of differences of neighbors, over sqrt(2)."""
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values))) / 0.6745 / np.sqrt(2.0))


def _isolated(values: Array, stderr: Array) -> npt.NDArray[np.bool_]:
    """Points away from the medians of the two points on both sides, in one direction."""
    out = np.zeros(len(values), dtype=bool)
    limit = OUTLIER * np.maximum(noise_level(values), stderr[2:-2])
    if len(values) < 5:
        return out
    pairs = 0.5 * (values[1:] + values[:-1])
    left, right = values[2:-2] - pairs[:-3], values[2:-2] - pairs[3:]
    alone = (np.sign(left) == np.sign(right)) & (np.minimum(np.abs(left), np.abs(right)) > limit)
    out[2:-2] = alone & (limit > 0.0)  # where nothing varies and no error is known, none is
    return out
