"""Whether chains can be believed: convergence, error and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from arviz_stats.base import array_stats
from numpy.typing import NDArray

Array = NDArray[np.float64]

RHAT_SUSPECT, RHAT_FAILED = 1.05, 1.3
ESS_SUSPECT, ESS_FAILED = 50.0, 10.0
DRIFT_Z = 4.0
VIRIAL_TOLERANCE = 0.1
ACCEPT_FAILED = 0.1
STDERR_SUSPECT = 0.25


@dataclass(frozen=True)
class Diagnosis:
    """Statistics of one quantity over chains and draws, and what they say.

    Attributes:
        mean: over all chains and draws.
        stderr: Monte Carlo standard error of the mean, from the effective sample size.
        rhat: rank-normalised split R-hat (Vehtari et al. 2021).
        ess: effective sample size for the mean.
        status: `ok`, `suspect` or `failed`.
        message: the reasons, empty when ok.
    """

    mean: float
    stderr: float
    rhat: float
    ess: float
    status: str
    message: str


def diagnose(
    excess: Array,
    virial: Array | None = None,
    accept: Array | None = None,
) -> Diagnosis:
    """Judge draws of `nbeta (L - L(w*))` `[C, T]`.

    Args:
        excess: the quantity averaged.
        virial: `(w - w*) . grad U / d` `[C, T]`; its mean is 1 under the posterior.
        accept: acceptance probabilities `[C, T]`.
    """
    if not np.isfinite(excess).all():
        bad = [int(c) for c in np.flatnonzero(~np.isfinite(excess).all(axis=1))]
        reason = f"the loss of chains {bad} is not finite: the step is too large"
        return Diagnosis(np.nan, np.nan, np.nan, np.nan, "failed", reason)
    dead = [int(c) for c in np.flatnonzero(excess.std(axis=1) <= 1e-12 * (1 + abs(excess).max()))]
    if dead:
        reason = f"chains {dead} are dead: their loss never changes"
        return Diagnosis(float(excess.mean()), np.nan, np.nan, np.nan, "failed", reason)
    mean, axes = float(excess.mean()), {"chain_axis": 0, "draw_axis": 1}
    rhat = float(array_stats.rhat(excess, method="rank", **axes))
    ess = float(array_stats.ess(excess, method="mean", **axes))
    stderr = float(array_stats.mcse(excess, method="mean", **axes))
    failed = list(_failures(rhat, ess, accept))
    doubts = list(_doubts(excess, mean, stderr, rhat, ess, virial))
    status = "failed" if failed else "suspect" if doubts else "ok"
    return Diagnosis(mean, stderr, rhat, ess, status, "; ".join(failed + doubts))


def drift(excess: Array) -> float:
    """Z of the difference between the means of the first and the second half of all chains."""
    half = excess.shape[1] // 2
    parts = excess[:, :half], excess[:, half:]
    errors = [_mcse(p) for p in parts]
    scale = float(np.linalg.norm(errors))
    return float(parts[1].mean() - parts[0].mean()) / scale if scale > 0 else 0.0


def _mcse(part: Array) -> float:
    return float(array_stats.mcse(part, chain_axis=0, draw_axis=1, method="mean"))


def _failures(rhat: float, ess: float, accept: Array | None) -> Any:
    if rhat > RHAT_FAILED:
        yield f"chains disagree or drift (R-hat {rhat:.2f} above {RHAT_FAILED})"
    if ess < ESS_FAILED:
        yield f"effective sample size {ess:.0f} is below {ESS_FAILED:.0f}"
    if accept is not None:
        stuck = [int(c) for c in np.flatnonzero(accept.mean(axis=1) < ACCEPT_FAILED)]
        if stuck:
            yield f"chains {stuck} are stuck (acceptance below {ACCEPT_FAILED:.0%})"


def _doubts(
    excess: Array,
    mean: float,
    stderr: float,
    rhat: float,
    ess: float,
    virial: Array | None,
) -> Any:
    if RHAT_SUSPECT < rhat <= RHAT_FAILED:
        yield f"R-hat {rhat:.2f} is above {RHAT_SUSPECT}"
    if ESS_FAILED <= ess < ESS_SUSPECT:
        yield f"effective sample size {ess:.0f} is below {ESS_SUSPECT:.0f}"
    z = drift(excess)
    if abs(z) > DRIFT_Z:
        yield f"the loss still drifts after burn-in ({z:+.1f} standard errors between halves)"
    if virial is not None:
        yield from _virial_doubt(virial)
    if stderr > STDERR_SUSPECT * max(abs(mean), 0.2):
        yield f"standard error {stderr:.2g} is large beside the estimate {mean:.3g}"
    if mean < -2 * stderr:
        yield f"the estimate {mean:.3g} is below zero: w* is not a minimum of the loss"


def _virial_doubt(virial: Array) -> Any:
    """Stationarity: `E[(w - w*) . grad U] = d` holds for the posterior, by partial integration."""
    if not np.isfinite(virial).all() or (virial.std(axis=1) == 0).any():
        return
    ratio = float(virial.mean())
    if abs(ratio - 1) > VIRIAL_TOLERANCE + 4 * _mcse(virial):
        why = "not yet at equilibrium with the localizer" if ratio < 1 else "heated by its steps"
        yield f"chains are {why} (virial ratio {ratio:.2f}, 1 at equilibrium)"
