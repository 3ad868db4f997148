"""Smallest effect of a test whose statistic a true effect only shifts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.hypotheses.design import POWER


def detectable_shift(null: npt.NDArray[np.float64], critical: float) -> float:
    """The shift that lifts all but a fifth of the permutation distribution over the critical value.

    An approximation: it takes the statistic to vary as over permutations, around the effect.

    Args:
        null: values over arrangements, `[b]`.
        critical: from which on a value counts as found.
    """
    return float(critical - np.nanquantile(null, 1.0 - POWER))
