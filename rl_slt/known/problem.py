"""What a known answer is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import LossFunction


@dataclass(frozen=True, eq=False)
class Problem:
    """What `estimate_llc` needs, and what it should find.

    Attributes:
        policy: at w*.
        data: the states.
        loss: the loss.
        nbeta: inverse temperature times N.
        localization: gamma.
        exact: `nbeta (E[L] - L(w*))` at this nbeta, gamma and w*.
        lambda_: the learning coefficient, the limit of large nbeta and small gamma.
        exact_error: standard error of `exact` where it comes from exact sampling, else 0.
        orthogonal: whether w* is no minimum, and weights are held orthogonal to the gradient.
    """

    policy: nn.Module
    data: PolicyData
    loss: LossFunction
    nbeta: float
    localization: float
    exact: float
    lambda_: float
    exact_error: float = 0.0
    orthogonal: bool = False
