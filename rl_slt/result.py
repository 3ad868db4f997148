"""What an LLC estimate holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class LLCEstimate:
    """A local learning coefficient with its error and a verdict.

    Attributes:
        llc: `nbeta (E[L] - L(w*))`.
        stderr: Monte Carlo standard error alone, from correlated draws over all chains.
        stderr_data: the share of the error that comes from the states being a sample, or None.
        rhat: rank-normalised split R-hat of the loss.
        ess: effective sample size of the loss's mean.
        draws: one row per chain and draw after burn-in, in the columns of `llc_draws`.
        status: `ok`, `suspect` or `failed`.
        message: reasons for a status other than ok.
        loss_init: `L(w*)` over all data.
        loss_mean: `loss_init + llc / nbeta`, the posterior's mean loss.
        step_size: the one in use after burn-in, in the sampler's coordinates.
        nbeta, localization, burn_in, n_states, chains, batch_size, sampler, loss, seed: settings.
        gradient_norm: norm of the loss's gradient at w* over all data (0 at a minimum).
        sample_gradients: gradients of single samples spent, all chains, adaptation included.
        seconds: wall clock.
        info: further numbers: virial ratio, acceptance, drift z, dimension, whitening rank.
    """

    llc: float
    stderr: float
    stderr_data: float | None
    rhat: float
    ess: float
    draws: pd.DataFrame = field(repr=False)
    status: str
    message: str
    loss_init: float
    loss_mean: float
    step_size: float
    nbeta: float
    localization: float
    burn_in: int
    n_states: int
    chains: int
    batch_size: int
    sampler: str
    loss: str
    seed: int
    gradient_norm: float
    sample_gradients: int
    seconds: float
    info: dict[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float]:
        """Nominal 95 % interval from the Monte Carlo error alone."""
        return self.llc - 1.96 * self.stderr, self.llc + 1.96 * self.stderr

    def with_more(self, **fields: Any) -> LLCEstimate:
        """A copy with some fields replaced."""
        return replace(self, **fields)

    def __repr__(self) -> str:
        text = f"LLC {self.llc:.3g} ± {self.stderr:.2g} ({self.status}"
        text += f": {self.message})" if self.message else ")"
        return f"{text} · R-hat {self.rhat:.3f} · ESS {self.ess:.0f} · n {self.n_states}"
