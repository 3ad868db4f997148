"""Sign-flip test over seeds: is a mean above zero?"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DRAWS = 1999
EXACT = 11  # seeds up to which all sign patterns are tried


def sign_flip_p(values: Array, seed: int = 0) -> float:
    """One-sided p-value that the mean of `[seeds]` values, symmetric around 0, is this large.

    All `2^seeds` patterns up to `EXACT` seeds, `DRAWS` drawn ones above;
    `p = (1 + exceedances) / (1 + B)`, B not counting the observed signs.
    """
    n = len(values)
    if n <= EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))[1:]
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (DRAWS, n))
    beaten = int(np.sum(signs @ values >= values.sum() - 1e-12))
    return (1 + beaten) / (1 + len(signs))
