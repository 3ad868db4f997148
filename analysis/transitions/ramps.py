"""Changes of level as ramps between two plateaus, and how strongly a series speaks for each.

Model of point i at checkpoint number k_i: `y_i = f(k_i) + s_i u_i`, with u of unit variance and
`corr(u_i, u_j) = phi^|k_i - k_j|` for an unknown phi in a range, [0, 0.5] unless the residuals say
otherwise. The size of a ramp is estimated by generalized least squares, `c = a'y`, at `WORKING` of
the largest phi: there the errors at both ends of the range are about equal. Its variance is the
largest that any phi in the range gives, `max_phi a' S R_phi S a`. So `|c|` over its standard error
is at most normal at every phi, and by Bonferroni over the ramps, each with its share of the error
rate, the probability that any of them is taken for a change holds without simulation, for any
errors s_i, gaps and phi.

Where the s_i are not known, `|r_i|` stands for s_i: the residual next to that very ramp, divided by
what the fit takes from it (HC2, MacKinnon & White 1985). The t distribution with one degree less
than the smaller plateau has points then keeps the level for unequal noise: a t test is conservative
under unequal variances (Bakirov & Szekely 2006; Ibragimov & Mueller 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
MAX_PHI = 0.5
PHIS = (0.0, 0.125, 0.25, 0.375, MAX_PHI)
WIDE_PHIS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)  # where neighbors go together more closely
WORKING = 0.8  # at the largest phi itself, a step of 3 sd next to two of 12 points is lost 5 % more
# points from one plateau to the next
_WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64, 96)
_DRAWS, _SIMULATED = 4000, (0.005, 0.3)
_TREND = 0.03  # prior, and share of the error rate, of the one ramp without any plateau
# how a ramp's share is multiplied by the points of its smaller plateau: fewer points show less, and
# so get more; a change at the edge, which stays unconfirmed, gets little
_BY_SIDE = {1: 0.25, 2: 4.0, 3: 1.5}


@dataclass(frozen=True)
class Ramps:
    """Candidate changes of a series of m points.

    Attributes:
        begin: number of the last point of the plateau before, `[k]`.
        end: number of the first point of the plateau after, `[k]`.
        columns: `[m, k]`, 0 up to `begin` and 1 from `end` on, linear in the checkpoints between.
        prior: of the place of a change, `[k]`; sum 1, proportional to `1 / width^2`.
        share: of the error rate, `[k]`; sum 1. The prior, but more where a plateau has two or three
            points, so that a step is found there about as often as in the middle.
    """

    begin: npt.NDArray[np.int_]
    end: npt.NDArray[np.int_]
    columns: Array
    prior: Array
    share: Array

    def apart(self, chosen: list[int]) -> npt.NDArray[np.bool_]:
        """Which candidates have no interval between points in common with the chosen, `[k]`."""
        out = np.ones(len(self.begin), dtype=bool)
        for k in chosen:
            out &= (self.end <= self.begin[k]) | (self.begin >= self.end[k])
        return out

    def design(self, chosen: list[int]) -> Array:
        """Constant and chosen ramps as columns, `[m, 1 + changes]`."""
        return np.column_stack([np.ones(len(self.columns)), self.columns[:, chosen]])


def build_ramps(index: Array) -> Ramps:
    """All ramps of some widths over checkpoints `[m]`, and the one without a plateau."""
    return _ramps(tuple(index.tolist()))


@lru_cache(maxsize=64)
def _ramps(checkpoints: tuple[float, ...]) -> Ramps:
    k, m = np.array(checkpoints), len(checkpoints)
    pairs = [(b, b + w) for w in _WIDTHS for b in range(m - w) if w < m - 1] + [(0, m - 1)]
    begin, end = np.array(pairs).T
    columns = np.clip((k[:, None] - k[begin]) / (k[end] - k[begin]), 0.0, 1.0)
    sides = np.minimum(begin + 1, m - end).tolist()
    prior = (end - begin) ** -2.0
    share = prior * [_BY_SIDE.get(side, 1.0) for side in sides]
    for of in (prior, share):
        of[:-1] *= (1.0 - _TREND) / np.sum(of[:-1])
        of[-1] = _TREND
    return Ramps(begin, end, columns, prior, share)


@dataclass(frozen=True)
class Sizes:
    """Sizes of candidate columns, each alone next to the base.

    Attributes:
        size: `[k]`; NaN where a column lies within the span of the base.
        stderr: at the worst phi, `[k]`.
        freedom: degrees of freedom of their ratio; infinite with known errors, `[k]`.
        weights: the ratio as a sum of the series in units of its scale, `[m, k]`.
        gain: what the column adds to the log likelihood at the working phi, in nats, `[k]`.
    """

    size: Array
    stderr: Array
    freedom: Array
    weights: Array
    gain: Array

    def p_values(self) -> Array:
        """Two-sided p-values of no change, of each column on its own, `[k]`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2.0 * special.stdtr(self.freedom, -np.abs(self.size) / self.stderr)
        return np.where(np.isfinite(p) & (self.freedom >= 1.0), p, 1.0)


@dataclass(frozen=True)
class Model:
    """A series with what is known of its noise.

    Attributes:
        index: numbers of the checkpoints, `[m]`.
        values: the series, `[m]`.
        scale: noise standard deviations, `[m]`; where these are not known, what weights the points.
        floor: None if `scale` is the noise; else the least that the noise can be, `[m]`.
        phis: correlations from checkpoint to checkpoint that are allowed for, ascending from 0.
    """

    index: Array
    values: Array
    scale: Array
    floor: Array | None = None
    phis: tuple[float, ...] = PHIS

    @cached_property
    def _distance(self) -> Array:
        return np.abs(self.index[:, None] - self.index)

    def correlation(self, phi: float) -> Array:
        """Of the noise of all points, `[m, m]`."""
        if phi not in self._correlations:
            self._correlations[phi] = np.asarray(phi**self._distance)
        return self._correlations[phi]

    @cached_property
    def _correlations(self) -> dict[float, Array]:
        return {}

    @cached_property
    def _whiten(self) -> Array:
        """Least squares where the noise is not known: its t test has the most freedom."""
        phi = WORKING * self.phis[-1] if self.floor is None else 0.0
        return np.linalg.inv(np.linalg.cholesky(self.correlation(phi))) / self.scale

    def residuals(self, base: Array) -> Array:
        """Residuals from the best combination of columns `[m, b]`, in units of the scale, `[m]`."""
        size, *_ = np.linalg.lstsq(self._whiten @ base, self._whiten @ self.values, rcond=None)
        return np.asarray((self.values - base @ size) / self.scale)

    def loglik(self, base: Array) -> float:
        """Log likelihood of the columns `[m, b]` up to a constant, in nats."""
        rss = float(np.sum((self._whiten @ (self.scale * self.residuals(base))) ** 2))
        return (
            -0.5 * rss if self.floor is None else -0.5 * len(base) * np.log(max(rss, self._least))
        )

    @cached_property
    def _least(self) -> float:
        """Sum of squares below which residuals are rounding."""
        return max(1e-18 * float(np.sum((self.values / self.scale) ** 2)), 1e-300)

    def gains(self, base: Array, columns: Array) -> Array:
        """What each column adds to the log likelihood, as in `Sizes`, without its error, `[k]`."""
        return self._fit(base, columns)[2]

    def _fit(self, base: Array, columns: Array) -> tuple[Array, Array, Array]:
        """Weights `[m, k]`, sizes and gains `[k]` of `Sizes`, before the errors of the sizes."""
        q, _ = np.linalg.qr(self._whiten @ base)
        z = self._whiten @ columns
        z -= q @ (q.T @ z)
        norm = np.sum(z**2, axis=0)
        norm = np.where(norm > 1e-9, norm, np.nan)
        a = self._whiten.T @ z / norm * self.scale[:, None]
        size = a.T @ (self.values / self.scale)
        explained = size**2 * norm
        if self.floor is None:
            return a, size, 0.5 * explained
        rest = max(
            float(np.sum((self._whiten @ (self.scale * self.residuals(base))) ** 2)), self._least
        )
        gain = 0.5 * len(z) * np.log(rest / np.maximum(rest - explained, self._least))
        return a, size, gain

    def measure(self, base: Array, columns: Array) -> Sizes:
        """Sizes of columns `[m, k]`, each alone next to the base `[m, b]`."""
        a, size, gain = self._fit(base, columns)
        loads, freedom = [a] * len(self.phis), np.full(len(size), np.inf)
        if self.floor is not None:
            loads = [a * self._noise(base, columns, phi) for phi in self.phis]
            sides = [np.clip(a, 0.0, None), np.clip(-a, 0.0, None)]
            points = [np.sum(side, axis=0) ** 2 / np.sum(side**2, axis=0) for side in sides]
            freedom = np.minimum(*points) - 1.0
        variance = [
            np.sum(load * (self.correlation(phi) @ load), axis=0)
            for phi, load in zip(self.phis, loads, strict=True)
        ]
        stderr = np.sqrt(np.max(variance, axis=0))
        return Sizes(size, stderr, freedom, a / stderr, gain)

    def exact(self, sizes: Sizes, share: Array, p: float) -> float:
        """The p-value of the smallest of all columns' p-values over their shares, simulated.

        Bonferroni's `p` counts columns that go together as if they did not. With known noise their
        joint distribution is known at each phi, and the largest of its tails counts. Where `p`
        decides nothing or is too small to be simulated, it stays.
        """
        if self.floor is not None or not _SIMULATED[0] < p < _SIMULATED[1]:
            return p
        limit = -special.ndtri(0.5 * p * share)
        noise = np.random.default_rng(0).standard_normal((len(self.index), _DRAWS))
        beaten = []
        for phi in self.phis:
            weights = np.linalg.cholesky(self.correlation(phi)).T @ sizes.weights
            beaten.append(np.sum(np.any(np.abs(noise.T @ weights) >= limit, axis=1)))
        return min(float(1 + max(beaten)) / (1 + _DRAWS), p)

    def _noise(self, base: Array, columns: Array, phi: float) -> Array:
        """Residuals next to each column, `[m, k]`, over what the fit leaves of noise of size 1.

        With H the projection on base and column and R the correlation, those are the roots of
        `diag((1 - H) R (1 - H))`. Never below the floor.
        """
        correlation = self.correlation(phi)
        q, _ = np.linalg.qr(base / self.scale[:, None])
        u = columns / self.scale[:, None]
        u -= q @ (q.T @ u)
        u /= np.maximum(np.linalg.norm(u, axis=0), 1e-9)
        e = self.residuals(base)
        r = e[:, None] - u * (u.T @ e)
        ru, rq = correlation @ u, correlation @ q
        left = 1.0 - 2.0 * (np.sum(q * rq, axis=1)[:, None] + u * ru)
        left += np.sum(q @ (q.T @ rq) * q, axis=1)[:, None] + 2.0 * (q @ (q.T @ ru)) * u
        left += u**2 * np.sum(u * ru, axis=0)
        floor = (np.asarray(self.floor) / self.scale)[:, None]
        return np.maximum(np.abs(r) / np.sqrt(np.maximum(left, 1e-3)), floor)
