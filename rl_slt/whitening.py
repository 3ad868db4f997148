"""A fixed linear change of coordinates that makes the posterior rounder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Whitening:
    """`T = diag(scale) (I + U diag(shrink - 1) U')`, U orthonormal `[d, k]`.

    With `scale = 1 / sqrt(gamma)` and `shrink_i = (1 + nbeta h_i / gamma)^(-1/2)` for the leading
    eigenpairs (h_i, u_i) of the curvature, `T T'` is the covariance of the Gaussian approximation
    of the posterior: every resolved direction gets unit curvature.

    Attributes:
        scale: `[]` or `[d]`, above 0.
        basis: U, `[d, k]`.
        shrink: `[k]`, in (0, 1].
    """

    scale: Tensor
    basis: Tensor
    shrink: Tensor

    def forward(self, z: Tensor) -> Tensor:
        """`T z` of rows `[C, d]`."""
        return (z + ((z @ self.basis) * (self.shrink - 1)) @ self.basis.T) * self.scale

    def transpose(self, g: Tensor) -> Tensor:
        """`T' g` of rows `[C, d]`."""
        g = g * self.scale
        return g + ((g @ self.basis) * (self.shrink - 1)) @ self.basis.T

    def inverse(self, delta: Tensor) -> Tensor:
        """`T^-1 delta` of rows `[C, d]`."""
        z = delta / self.scale
        return z + ((z @ self.basis) * (1 / self.shrink - 1)) @ self.basis.T
