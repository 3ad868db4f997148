"""SGLD in the subspace orthogonal to the loss's gradient at w*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rl_slt.samplers.sgld import SGLD


@dataclass(frozen=True)
class OrthogonalSGLD(SGLD):
    """SGLD on `{w : (w - w*) . grad L(w*) = 0}`, for points that are not minima of the loss.

    Where the gradient does not vanish, the posterior slides downhill and the estimate goes below
    zero; within this subspace w* is a critical point of the loss again. The target is projected
    (drift and noise alike); the steps are SGLD's.
    """

    name: ClassVar[str] = "orthogonal_sgld"
    orthogonal: ClassVar[bool] = True
