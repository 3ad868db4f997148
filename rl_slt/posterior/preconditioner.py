"""A fixed linear change of coordinates in which the posterior's curvatures are alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Preconditioner:
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
        return self._along(z, self.shrink) * self.scale

    def transpose(self, g: Tensor) -> Tensor:
        """`T' g` of rows `[C, d]`."""
        return self._along(g * self.scale, self.shrink)

    def inverse(self, delta: Tensor) -> Tensor:
        """`T^-1 delta` of rows `[C, d]`."""
        return self._along(delta / self.scale, 1 / self.shrink)

    def _along(self, rows: Tensor, factor: Tensor) -> Tensor:
        """Rows `[C, d]` with their parts along U times `factor` `[k]`."""
        return torch.addmm(rows, (rows @ self.basis) * (factor - 1), self.basis.T)
