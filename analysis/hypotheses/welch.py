"""The difference of arms whose spreads may differ: a studentized test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr
from scipy.stats import norm, rankdata, t

from analysis.hypotheses.linear import LinearTest
from analysis.permutations import TOLERANCE, Orders
from analysis.power import detectable

Array = npt.NDArray[np.float64]
_LARGEST = 9.0  # normal score: about what double precision tells from certainty


@dataclass(frozen=True)
class WelchTest(LinearTest):
    """Slope over the standard error that each arm's own spread gives, over permuted runs.

    With scores g of the arms' runs (centered, equal within an arm) the slope `g'y / g'g` has the
    variance `sum_a v_a / (g'g)^2`, `v_a = sum_{i in a} g_i^2 s_a^2`, so that `T = g'y /
    sqrt(sum_a v_a)`; for two arms it is Welch's t. It is compared as its normal score z at the
    degrees of freedom of Welch and Satterthwaite, `(sum v_a)^2 / sum (v_a^2 / (n_a - 1))`, over
    permuted runs. That is exact where runs may change places, and for large arms whatever their
    spreads (Janssen 1997, doi:10.1016/S0167-7152(97)00043-6; Chung & Romano 2013,
    doi:10.1214/13-AOS1090). In small arms of unequal spread the scores of permuted runs are too
    small; so none counts as less extreme than the normal score of its rank, and p is no smaller
    than that of Welch's t test.
    """

    center: float | None = 0.0

    @cached_property
    def _arms(self) -> Array:
        """The runs of each arm, `[n, arms]`."""
        labels = np.unique(np.array(self.design.labels), return_inverse=True)[1]
        return np.asarray(np.eye(labels.max() + 1)[labels])

    def _studentized(self, values: Array) -> tuple[Array, Array]:
        """T and its degrees of freedom, of values `[b, n]`."""
        counts = self._arms.sum(axis=0)
        means = values @ self._arms / counts
        squares = np.maximum(values**2 @ self._arms - counts * means**2, 0.0)
        parts = (self._target**2 @ self._arms) * squares / (counts - 1)
        total = parts.sum(axis=1)
        tiny = 1e-18 * float(self._rest @ self._rest) * float(self._target @ self._target)
        freedom = np.maximum(total, tiny) ** 2 / np.maximum(
            (parts**2 / (counts - 1)).sum(axis=1), tiny**2 / counts.sum()
        )
        return values @ self._target / np.sqrt(np.maximum(total, tiny)), freedom

    def _scores(self, orders: Orders, shift: float = 0.0) -> Array:
        """Normal scores of T over arrangements where the slope is `shift`, `[b]`."""
        ratio, freedom = self._studentized((self._rest - shift * self._target)[orders])
        z = np.minimum(-ndtri(stdtr(freedom, -np.abs(ratio))), _LARGEST)
        return np.asarray(z * np.sign(ratio))

    def null(self, orders: Orders) -> Array:
        """Normal score of T for each arrangement, `[b]`."""
        z = self._scores(orders)
        rank = rankdata(np.round(z, 9))  # equal ones are equally extreme
        usual = ndtri((rank - 0.5) / len(z))
        wide = np.where(usual > 0.0, np.maximum(z, usual), np.minimum(z, usual))
        return np.concatenate([z[:1], wide[1:]])

    def interval(self, null: Array) -> tuple[float, float]:
        """95 %: the values that the test accepts."""
        slope = float(self._target @ self._rest / (self._target @ self._target))
        ratio, freedom = self._studentized(self._rest[None])
        far = abs(slope / ratio[0]) * 3.0 * float(t.ppf(0.995, freedom[0])) if ratio[0] else 0.0

        def tail(sign: float) -> Callable[[float], float]:
            def over(shift: float) -> float:
                z = sign * self._scores(self.design.orders, shift)
                p = max(float(np.mean(z >= z[0] - TOLERANCE)), float(ndtr(-z[0])))
                return p - 0.025 - TOLERANCE

            return over

        ends = []
        for sign in (1.0, -1.0):
            over, outer = tail(sign), slope - sign * far
            known = far > 0.0 and over(outer) < 0.0 < over(slope)
            ends.append(brentq(over, outer, slope, xtol=1e-3 * far) if known else np.nan)
        low, high = (float(end * (self.scale or 1.0)) for end in ends)
        return low, high

    def smallest_effect(self, null: Array, critical: float) -> float:
        """For Gaussian values of the spreads at hand."""
        if np.isnan(critical):
            return np.nan
        ratio, freedoms = self._studentized(self._rest[None])
        freedom = round(float(freedoms[0]), 2)
        limit = float(t.isf(norm.sf(abs(critical)), freedom))
        shift = detectable(round(limit / np.hypot(limit, np.sqrt(freedom)), 6), freedom)
        stderr = abs(float(self._target @ self._rest) / ratio[0]) if ratio[0] else np.nan
        return abs(self.scale or 1.0) * shift * stderr / float(self._target @ self._target)
