"""What a known answer is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import LossFunction
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler


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


class Source(NamedTuple):
    """Where a number comes from that no chain gave: what an `LLCEstimate` says of itself."""

    sampler: str
    batch_size: int
    rhat: float
    ess: float
    status: str


class Answer(NamedTuple):
    """A number that was estimated, with its standard error, and what it should be.

    The error has `dof` degrees of freedom.
    """

    estimate: LLCEstimate | Source
    value: float
    stderr: float
    exact: float
    exact_error: float = 0.0
    lambda_: float = math.nan
    dof: float = math.inf


Known = Callable[[Sampler | None, int | None, int], Answer]
"""From sampler (None: the default), batch size (None: all data) and seed to an answer."""


def sampling(sampler: Sampler | None, batch_size: int | None, n: int) -> dict[str, Any]:
    """What settings say of the sampler; a batch is no larger than the data."""
    if batch_size is None:
        return {"sampler": sampler}
    return {"sampler": sampler or BAOAB(), "batch_size": min(batch_size, n)}
