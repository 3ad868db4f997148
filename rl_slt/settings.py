"""Settings of an estimate, checked once, and named ones that were found to be sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rl_slt.errors import InputError
from rl_slt.gradients.precision import PRECISIONS
from rl_slt.samplers.base import Sampler

PILOT_DRAWS = 400


@dataclass(frozen=True)
class Settings:
    """All of `estimate_llc` but the policy, the states and the loss.

    Attributes:
        sampler: None chooses one for the problem.
        nbeta: inverse temperature times N; None is N / log N.
        localization: gamma, the pull to w*, per squared unit of weight.
        chains: independent chains.
        draws: kept per chain; None is 400, and more where draws are cheap and 400 are too few
            for a standard error of 4 %.
        burn_in: steps before, for adaptation and forgetting the start.
        batch_size: samples per gradient and chain; None is 64 (or all, if fewer).
        params: shell patterns of the parameters left free; None is all.
        whitening: directions of curvature made round, in units of the localiser's width; None
            is 64 (16 above 50,000 weights), or plain coordinates with a step size of your own.
        precision: of convolutions: float32, bfloat16, or auto, which is bfloat16 where the
            processor has units for it.

    Raises:
        InputError: a setting is out of its range.
    """

    sampler: Sampler | None = None
    nbeta: float | None = None
    localization: float = 1.0
    chains: int = 4
    draws: int | None = None
    burn_in: int = 200
    batch_size: int | None = None
    params: str | Sequence[str] | None = None
    whitening: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        least = {"chains": 2, "draws": 8, "burn_in": 0, "batch_size": 1, "whitening": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise InputError(f"{name}={value}; it must be a whole number, at least {low}")
        for name in ("nbeta", "localization"):
            number = getattr(self, name)
            if number is not None and not 0 <= number < math.inf:
                raise InputError(f"{name}={number}; it must be a finite number, 0 or more")
        if self.precision not in PRECISIONS:
            allowed = ", ".join(PRECISIONS)
            raise InputError(f"precision={self.precision!r}; it must be one of {allowed}")


# A convolutional policy of 10^5 weights. The localiser's ball has radius sqrt(d / gamma): at gamma
# 1 that is twenty times the norm of such weights, the "local" posterior is that of the whole
# architecture, and no affordable chain fills it. At 300 it is about one norm, chains forget their
# start within tens of whitened steps, and halving the step changes nothing beyond its error.
POLICY_CNN = Settings(localization=300.0, draws=200, burn_in=80, batch_size=64)
