"""The linear test that arms, doses and seeds share: does a target explain values over runs?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from analysis.hypotheses.design import Design, Untestable
from analysis.permutations import Orders
from analysis.power import detectable, detectable_correlation

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearTest:
    """Partial correlation of values with a target given nuisances, over permuted runs.

    The values' residuals under the nuisances alone are permuted and the correlation is computed
    again with the nuisances (Freedman & Lane 1983, doi:10.2307/1391660; Winkler et al. 2014,
    doi:10.1016/j.neuroimage.2014.01.060). With nothing but the means of strata as nuisance this is
    exact under exchangeability: the pooled within-arm correlation, or the difference of arms.

    Attributes:
        design: over which runs.
        statistic: name of the value.
        target: `[n]`: a measure, the arm's number, or the score of its dose.
        values: `[n]`.
        nuisance: `[n, k]`, the means of strata among them.
        scale: None where the value is the correlation; else the value is the slope times this.
        note: for the table.
        center: of `null`, for two-sided tests; None is its mean.
    """

    design: Design
    statistic: str
    target: Array
    values: Array
    nuisance: Array
    scale: float | None = None
    note: str = ""
    center: float | None = None

    def __post_init__(self) -> None:
        """Refuse what has no variance left, or no degree of freedom."""
        if self.freedom < 1:
            rank = self._basis.shape[1]
            raise Untestable(f"{len(self.target)} runs are too few for {rank + 1} coefficients")
        for part, raw in ((self._target, self.target), (self._rest, self.values)):
            if float(np.linalg.norm(part)) <= 1e-9 * max(float(np.linalg.norm(raw)), 1e-300):
                raise Untestable("no difference between runs that these strata and controls leave")

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residuals."""
        return len(self.target) - self._basis.shape[1] - 1

    @cached_property
    def _basis(self) -> Array:
        """Orthonormal columns that span the nuisances."""
        u, s, _ = np.linalg.svd(self.nuisance, full_matrices=False)
        return np.asarray(u[:, s > 1e-10 * s[0]])

    def _residual(self, x: Array) -> Array:
        return np.asarray(x - self._basis @ (self._basis.T @ x))

    @cached_property
    def _target(self) -> Array:
        return self._residual(self.target)

    @cached_property
    def _rest(self) -> Array:
        return self._residual(self.values)

    @property
    def correlation(self) -> float:
        """Partial correlation."""
        length = np.linalg.norm(self._target) * np.linalg.norm(self._rest)
        return float(np.clip(self._target @ self._rest / length, -1.0, 1.0))

    @property
    def value(self) -> float:
        """The correlation, or the slope times the scale."""
        if self.scale is None:
            return self.correlation
        return float(self.scale * (self._target @ self._rest) / (self._target @ self._target))

    def null(self, orders: Orders) -> Array:
        """Partial correlation for each arrangement, `[b]`."""
        moved = self._rest[orders]
        left = self._rest @ self._rest - np.sum((moved @ self._basis) ** 2, axis=1)
        length = np.linalg.norm(self._target) * np.sqrt(np.maximum(left, 1e-300))
        return np.asarray(moved @ self._target / length)

    def interval(self, null: Array) -> tuple[float, float]:
        """95 %: Fisher's z of a correlation; of a slope the values that the test accepts."""
        if self.scale is None:
            if self.freedom < 2:
                return np.nan, np.nan
            z = np.arctanh(np.clip(self.correlation, -1 + 1e-12, 1 - 1e-12))
            half = norm.ppf(0.975) / np.sqrt(self.freedom - 1)
            return float(np.tanh(z - half)), float(np.tanh(z + half))
        orders, g, e = self.design.orders, self._target, self._rest
        # shifted by d along g, an arrangement does as well as the observed one from d = bound on
        apart = g @ g - g[orders] @ g
        tied = apart <= 1e-9 * (g @ g)
        bound = np.sort((g @ e - e[orders[~tied]] @ g) / apart[~tied])
        beyond = int(0.025 * len(orders) + 1e-9) - int(tied.sum())  # arrangements beyond an end
        if beyond < 0:
            return np.nan, np.nan
        return float(self.scale * bound[beyond]), float(self.scale * bound[-1 - beyond])

    def smallest_effect(self, null: Array, critical: float) -> float:
        """For Gaussian values (see `detectable`); with controls and few runs an approximation.

        What it says for ten runs in two arms with two controls is found in 73 % rather than 80 %.
        """
        if self.scale is None:
            return detectable_correlation(critical, self.freedom)
        shift = detectable(round(abs(critical), 4), self.freedom)
        rest = np.linalg.norm(self._rest) * np.sqrt((1.0 - self.correlation**2) / self.freedom)
        return float(abs(self.scale) * shift * rest / np.linalg.norm(self._target))
