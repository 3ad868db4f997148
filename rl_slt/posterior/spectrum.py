"""The spectrum of a loss's curvature H at w*, and what a Gaussian posterior of it would give.

With eigenvalues h_i of H (`rl_slt.posterior.curvature`) and the ridge `rho = gamma / nbeta`, a
quadratic loss has exactly

    LLC = 1/2 sum_i h_i / (h_i + rho)            (half the effective dimension),
    free energy = 1/2 sum_i log(1 + h_i / rho)   (nats, over that of the localizer alone),

the second being the integral of the first over log nbeta. What an LLC has more or less is how far
the posterior is from that Gaussian.

Few rows of gradients say enough, as few directions have `h_i > rho`. Each row is of one sample,
`sum_r e_r g_r` with random signs e_r, so that its outer product is that sample's part of H in the
mean (Hutchinson 1989); its weights are folded with random signs into fewer columns, which keeps
inner products in the mean (Charikar et al. 2002). From the eigenvectors of all inner products come,
at any ridge, the error over rows and the bias that their finite number leaves, to second order
(infinitesimal jackknife), so that the answer is about all samples that the loss is averaged over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rl_slt.posterior.curvature import (
    MOST_PRODUCTS,
    count_rows,
    every_row,
    hessian_products,
    knows_all,
    random_signs,
    row_gradients,
)
from rl_slt.posterior.target import Target

ROWS, MOST_DRAWS = 1024, 4  # of gradients in all, and for each sample at most
TWICE = 128  # samples with a second row at least, which shows what the signs do
DENSE = 1024  # weights up to which H itself is made, of all samples
NEGATIVE = 1e-4  # of the largest eigenvalue: below zero by no more is rounding
BLOCKS = 4  # of rows, whose inner products are made once for both sides of the diagonal
COLUMNS = 8191  # a prime: no pattern of a layer's weights falls into step with it


class Measured(NamedTuple):
    """A number and its standard error, 0 where it is exact for these samples."""

    value: float
    stderr: float


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of the curvature at w*.

    Attributes:
        values: at least 0, `[k]`, of H itself or of the rows drawn.
        n: samples that the loss is averaged over.
        drawn: how the rows that stand for them were drawn; None where there is every row.
        columns: that the weights were folded into, or 0.
    """

    values: Tensor
    n: int
    drawn: Rows | None = field(default=None, repr=False)
    columns: int = 0

    def half_effective_dimension(self, nbeta: float, localization: float) -> Measured:
        """`1/2 sum h / (h + gamma / nbeta)`: the LLC of a quadratic loss of this curvature.

        NaN without a localizer, where it is half a rank that rounding would decide.
        """
        if nbeta == 0 or localization == 0:
            return Measured(math.nan if nbeta else 0.0, 0.0)
        ridge = localization / nbeta
        return self._sum(
            lambda h: 0.5 * h / (h + ridge),
            lambda h: 0.5 * ridge * (h + ridge) ** -2,
            Second(lambda h: 1 / (h + ridge), lambda h: (h + ridge) ** -2, -0.5 * ridge),
        )

    def free_energy(self, nbeta: float, localization: float) -> Measured:
        """`1/2 sum log(1 + nbeta h / gamma)`, nats; NaN without a localizer."""
        if nbeta == 0 or localization == 0:
            return Measured(math.nan if nbeta else 0.0, 0.0)
        ridge = localization / nbeta
        return self._sum(
            lambda h: 0.5 * torch.log1p(h / ridge),
            lambda h: 0.5 / (h + ridge),
            Second(lambda h: 1 / (h + ridge), lambda h: 1 / (h + ridge), -0.25),
        )

    def _sum(self, function: Of, slope: Of, second: Second) -> Measured:
        """Sum of a function over the eigenvalues of H, from those of the rows there are."""
        h = self.values
        value, variance = float(function(h).sum()), 0.0
        if self.columns:  # each product of weights is a sum over that many columns
            left, right = (float((h * of(h)).sum()) for of in (second.left, second.right))
            value -= second.factor * left * right / self.columns
            variance = 2 / self.columns * float((h * slope(h)).square().sum())
        if self.drawn is not None:
            bias, error = self.drawn.correction(h, self.n, function, slope, second)
            value, variance = value + bias, variance + error**2
        return Measured(value, math.sqrt(variance))


Of = Callable[[Tensor], Tensor]
"""A function of eigenvalues `[k]`, each by itself."""


class Second(NamedTuple):
    """Second derivative of a sum over eigenvalues: `factor tr(D left(H) D right(H))` along D."""

    left: Of
    right: Of
    factor: float


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows x `[M, d]` of m samples with `H ~ 1/m sum_i x_i x_i'`, by their inner products.

    Attributes:
        vectors: eigenvectors V `[M, k]` of their inner products over m, columns as the values.
        owner: sample, 0 to m - 1, that each row is of `[M]`, ascending; a sample's rows are draws
            over the root of their number.
        halves: eigenvalues from every other sample alone.
    """

    vectors: Tensor
    owner: Tensor
    halves: tuple[Tensor, Tensor]

    def correction(self, h: Tensor, n: int, function: Of, slope: Of, second: Second) -> Measured:
        """What to add to the sum over h for that of all n samples, and the error that remains.

        One row more moves the sum by `x' f'(H) x / m`: the error is the variance of that, without
        the part between samples that m of n of them have shown. The sum of few rows is too small
        in the mean, and that of half of them twice as much. Only what is due to the signs, and to
        the samples not looked at, is to be added: a share known from the second derivative, which
        gives the same bias once more; the difference counts as an error.
        """
        v, owner = self.vectors, self.owner
        counts = owner.bincount().to(v)
        m, each = len(counts), counts[owner]
        # Inner products of the rows under f'(H), summed over the rows of a sample.
        moves = m * (v.square() @ (h * slope(h)))
        moved = v.new_zeros(m).index_add(0, owner, moves)
        within = (
            (moves * each - moved[owner]).square().sum() / (len(owner) - m) * (1 / counts).mean()
        )
        variance = moved.var() / m - (moved.var() - within).clamp(min=0) / n
        # And products of two rows of one sample under `left` and `right`.
        left, right = h * second.left(h), h * second.right(h)
        total, draws, pairs = -float((left * right).sum()), 0.0, 0
        for apart in range(int(counts.max())):
            i = torch.arange(len(owner) - apart, device=owner.device)
            i = i[owner[i] == owner[i + apart]]
            both = v[i] * v[i + apart]
            products = m**2 * (both @ left) * (both @ right)
            total += float(products.sum()) / m * (2 if apart else 1)
            if not apart:
                alone = products * each**2
            else:
                mean = 0.5 * (alone[i] + alone[i + apart])
                draws, pairs = draws + float((mean - products * each[i] ** 2).sum()), pairs + len(i)
        signs = draws / max(pairs, 1) * float((1 / counts).mean()) / total
        share = 1 - (1 - signs) * m / n
        lacking = float(function(h).sum() - sum(function(half).sum() for half in self.halves) / 2)
        bias = share * lacking
        gap = bias + second.factor * share * total / m
        return Measured(bias, math.sqrt(max(float(variance), 0.0) + gap**2))


def spectrum_of(target: Target, generator: Generator) -> Spectrum | None:
    """The spectrum of H at w*.

    Args:
        target: whose loss, data and free parameters.
        generator: of the signs, on the target's device.

    Returns:
        The spectrum; None where the loss knows no rows of H, and its Hessian is too much work or
        has negative eigenvalues: w* is then no minimum.
    """
    width, n, weights = count_rows(target), target.n, target.flat.w_star
    if width is None:
        return _hessian_spectrum(target, generator)
    exact = knows_all(target, width)
    if exact or target.dim <= DENSE or n * width <= ROWS:  # every row as it is
        parts = row_gradients(target, *every_row(target, width))
        if exact or target.dim <= DENSE:
            h = sum((part.double().T @ part.double() for part in parts), start=torch.zeros(()))
            return Spectrum(torch.linalg.eigvalsh(h / n).clamp(min=0), n)
        fold = Fold(weights, generator)
        x = torch.cat([fold(part) for part in parts])
        return Spectrum(torch.linalg.eigvalsh(_inner(x, n)).clamp(min=0), n, columns=fold.columns)
    m = min(n, ROWS - TWICE)
    total = min(ROWS, MOST_DRAWS * m)
    owner = torch.arange(total, device=target.device) * m // total  # all as often, within one
    signs = random_signs(weights.new_empty(total, width), generator)
    fold = Fold(weights, generator)
    picked = torch.arange(m, device=target.device) * n // m
    x = torch.cat([fold(part) for part in row_gradients(target, picked[owner], signs)])
    x /= owner.bincount(minlength=m)[owner].to(x).sqrt()[:, None]
    gram = _inner(x, m)
    values, vectors = torch.linalg.eigh(gram)
    even = owner % 2 == 0
    halves = [
        torch.linalg.eigvalsh(gram[half][:, half]) * (m / len(owner[half].unique()))
        for half in (even, ~even)
    ]
    first, second = (half.clamp(min=0) for half in halves)
    drawn = Rows(vectors, owner, (first, second))
    return Spectrum(values.clamp(min=0), n, drawn, fold.columns)


def _hessian_spectrum(target: Target, generator: Generator) -> Spectrum | None:
    """The spectrum of a loss of few weights by its Hessian, along each of them."""
    if target.dim > DENSE or target.dim**2 * target.n > MOST_PRODUCTS:
        return None
    probes = torch.eye(target.dim, device=target.device).to(target.flat.w_star)
    h = hessian_products(target, probes, generator)
    if h is None:
        return None
    values = torch.linalg.eigvalsh((h + h.T) / 2)
    falls = -values[0] > NEGATIVE * values[-1]
    return None if falls else Spectrum(values.clamp(min=0), target.n)


class Fold:
    """Rows `[b, d]` with random signs, folded into fewer columns: inner products in the mean."""

    def __init__(self, weights: Tensor, generator: Generator) -> None:
        self.columns = COLUMNS if len(weights) > 2 * COLUMNS else 0
        self.signs = random_signs(torch.empty_like(weights), generator)

    def __call__(self, rows: Tensor) -> Tensor:
        """`[b, columns]`, or the rows as they are where there are few weights."""
        if not self.columns:
            return rows
        wide = rows.new_zeros(len(rows), -(-rows.shape[1] // self.columns) * self.columns)
        torch.mul(rows, self.signs, out=wide[:, : rows.shape[1]])
        return wide.view(len(rows), -1, self.columns).sum(1)


def _inner(x: Tensor, samples: int) -> Tensor:
    """`x x' / samples` `[M, M]` of rows `[M, p]`, in double precision."""
    found = x.new_empty(len(x), len(x), dtype=torch.float64)
    size = max(1, -(-len(x) // BLOCKS))
    for i in range(0, len(x), size):  # what is right of the diagonal is what is below it
        part = x[i:] @ x[i : i + size].T
        found[i:, i : i + size], found[i : i + size, i:] = part, part.T
    return found / samples
