"""Whether draws can be believed: convergence, Monte Carlo error, and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from arviz_stats.base import array_stats
from numpy.typing import NDArray

Array = NDArray[np.float64]

RHAT_SUSPECT, RHAT_FAILED = 1.05, 1.3
ESS_SUSPECT, ESS_FAILED = 50.0, 10.0
DRIFT_Z = 4.0
VIRIAL_TOLERANCE, STIFF_TOLERANCE = 0.1, 0.05
NOISE_SUSPECT, BIAS_SUSPECT, BIAS_FAILED = 0.25, 0.1, 0.5
SHARE_SUSPECT = 0.2  # of the draws that carry the noise
ACCEPT_FAILED = 0.1
STDERR_SUSPECT, STDERR_FAILED = 0.25, 1.0
# Share of the LLC that the slope at w* may take away, or that L(w*) may be above its minimum.
# At the minimum of the expected loss over all states, the slope of that of N of them has the share
# 2 / log N at nbeta = N / log N (0.26 for 2,048 states).
TAKEN_SUSPECT, TAKEN_FAILED = 0.1, 0.3
AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Diagnosis:
    """Statistics of one quantity over chains and draws, and what they say.

    Attributes:
        stderr: Monte Carlo standard error of the mean, from the effective sample size.
        rhat: rank-normalized split R-hat (Vehtari et al. 2021).
        ess: effective sample size for the mean.
        drift: z of the difference between the means of the two halves of all chains.
        status: `ok`, `suspect` or `failed`.
        message: the reasons, empty when ok.
    """

    stderr: float
    rhat: float
    ess: float
    drift: float
    status: str
    message: str

    @property
    def converged(self) -> bool:
        """Whether chains agree and have moved enough, as far as more draws would help."""
        return self.rhat <= RHAT_SUSPECT and self.ess >= ESS_SUSPECT


def diagnose(
    excess: Array,
    virial: Array | None = None,
    accept: Array | None = None,
    slope: Array | None = None,
    undefined: str = "",
    stiff: Array | None = None,
    noise: Array | None = None,
    noise_bias: float = math.nan,
    hint: str = "",
    least_ess: float = ESS_SUSPECT,
    above: float = math.nan,
) -> Diagnosis:
    """Judge draws of `nbeta (L - L(w*))`, whose mean is the estimate.

    Args:
        excess: the quantity averaged, `[C, T]`; of no draws nothing but `undefined` is said.
        virial: `(w - w*) . grad U / d` `[C, T]`; its mean is 1 under the posterior.
        accept: acceptance probabilities `[C, T]` of a Metropolis test; None without one.
        slope: `nbeta (w - w*) . grad L(w*)` `[C, S]`, the linear part of the same quantity, at some
            of the draws; None at a minimum. In the Gaussian approximation its mean is `-d^2`, d the
            distance in posterior standard deviations by which the slope shifts the posterior, and
            the estimate is lowered by `d^2 / 2` to `d^2`.
        undefined: why there is no LLC of this loss, whatever the chains do; empty where there is.
        stiff: the virial of the leading curvature directions alone `[C, T]`; its mean is 1, too,
            and sees what all d directions together drown.
        noise: what the noise of the batches adds to the velocities in each step `[C, T]`, where
            friction takes it out again. The mean of its square against its mean is what remains:
            the friction is itself an estimate, and saturates at 1. Where few draws carry it
            (Kish's effective share, the squared mean over the mean square), its mean, which the
            step was chosen by, says little of the places where it acts, and chains that have seen
            little of it were lucky.
        noise_bias: share of the estimate that the noise adds at most, where nothing takes it out;
            NaN where that was not measured.
        hint: what the loss says to do where w* is no minimum of it.
        least_ess: effective sample size below which the error is not to be relied on.
        above: `nbeta (L(w*) - minimum)`, exact; NaN where it is not known. In the chains the loss
            lies `LLC + above` over its minimum, all of it LLC only where w* is at the minimum. In
            the Gaussian approximation, w* d posterior standard deviations away, above is the
            `d^2 / 2` that the slope takes; on a plateau there is no slope to be seen.
    """
    if not excess.size:
        return Diagnosis(np.nan, np.nan, np.nan, np.nan, "failed", undefined)
    finite = np.isfinite(excess).all(axis=1)
    if not finite.all():
        reason = f"the loss of {_chains(~finite)} is not finite: the step is too large"
        return Diagnosis(np.nan, np.nan, np.nan, np.nan, "failed", reason)
    constant = excess.std(axis=1) <= 1e-12 * (1 + abs(excess).max())
    if constant.any():
        reason = f"constant: the loss of {_chains(constant)} never changes"
        return Diagnosis(np.nan, np.nan, np.nan, np.nan, "failed", reason)
    rhat = float(array_stats.rhat(excess, method="rank", **AXES))
    ess = float(array_stats.ess(excess, method="mean", **AXES))
    stderr, halves = mean_stderr(excess), np.split(excess, [excess.shape[1] // 2], axis=1)
    scale = float(np.linalg.norm([mean_stderr(half) for half in halves]))
    drift = float(halves[1].mean() - halves[0].mean()) / scale if scale > 0 else 0.0
    mean = float(excess.mean())
    reasons = [
        *([_failed(undefined)] if undefined else []),
        *_mixing(rhat, ess, least_ess),
        *_equilibrium(accept, drift, virial, stiff),
        *_batches(noise, noise_bias),
        *_center(mean, stderr, slope, above, hint),
    ]
    reasons += _precision(mean, stderr, any(fatal for fatal, _ in reasons))
    reasons.sort(key=lambda reason: not reason.fatal)
    status = "ok" if not reasons else "failed" if reasons[0].fatal else "suspect"
    return Diagnosis(stderr, rhat, ess, drift, status, "; ".join(text for _, text in reasons))


class _Reason(NamedTuple):
    """Why an estimate is not `ok`: `failed` where that is fatal, else `suspect`."""

    fatal: bool
    text: str


def _failed(text: str) -> _Reason:
    return _Reason(True, text)


def _suspect(text: str) -> _Reason:
    return _Reason(False, text)


def _mixing(rhat: float, ess: float, least_ess: float) -> Iterator[_Reason]:
    """Whether chains agree, and draws are worth enough independent ones."""
    if rhat > RHAT_FAILED:
        yield _failed(f"chains disagree or drift (R-hat {rhat:.2f} above {RHAT_FAILED})")
    elif rhat > RHAT_SUSPECT:
        yield _suspect(f"R-hat {rhat:.3f} is above {RHAT_SUSPECT}")
    if ess < ESS_FAILED:
        yield _failed(f"effective sample size {int(ess)} is below {ESS_FAILED:.0f}")
    elif ess < least_ess:
        yield _suspect(f"effective sample size {int(ess)} is below {least_ess:.0f}")


def _equilibrium(
    accept: Array | None, drift: float, virial: Array | None, stiff: Array | None
) -> Iterator[_Reason]:
    """Whether the chains are where their posterior is, at its temperature."""
    if accept is not None and (low := accept.mean(axis=1) < ACCEPT_FAILED).any():
        yield _failed(f"low acceptance of {_chains(low)} (below {ACCEPT_FAILED:.0%})")
    if abs(drift) > DRIFT_Z:
        between = f"{drift:+.1f} standard errors between halves"
        yield _suspect(f"the loss still drifts after burn-in ({between})")
    # The Stein identity of the field w - w*: E[(w - w*) . grad U] = d, by partial integration.
    if virial is not None and np.isfinite(virial).all() and (virial.std(axis=1) > 0).all():
        ratio = float(virial.mean())
        if abs(ratio - 1) > VIRIAL_TOLERANCE + 4 * mean_stderr(virial):
            large = "step size too large: variance inflated"
            why = large if ratio > 1 else "not yet at equilibrium with the localizer"
            yield _suspect(f"{why} (virial ratio {ratio:.2f})")
    if stiff is not None and np.isfinite(stiff).all():
        ratio = float(stiff.mean())
        if abs(ratio - 1) > STIFF_TOLERANCE + 4 * mean_stderr(stiff):
            why = "heated: the step is too large" if ratio > 1 else "not yet at equilibrium"
            yield _suspect(f"stiff directions are {why} (virial ratio {ratio:.2f} there)")


def _batches(noise: Array | None, bias: float) -> Iterator[_Reason]:
    """Whether the noise of batches is balanced, or small."""
    remedy = "larger batches or a smaller step"
    if noise is not None and np.isfinite(noise).all() and noise.mean() > 0:
        left = float((noise**2).mean() / noise.mean())
        if left > NOISE_SUSPECT:
            why = "too strong where the chains go for friction to balance"
            yield _suspect(f"the noise of the batches is {why} ({left:.2g}): {remedy}")
        elif (share := float(noise.mean() ** 2 / (noise**2).mean())) < SHARE_SUSPECT:
            why = f"{share:.0%} of the draws carry the noise of the batches"
            yield _suspect(f"{why}, and the step was chosen by its mean: {remedy}")
    if bias > BIAS_SUSPECT:
        much = f"up to {bias:.0%}" if bias <= 10 else "more than ten times as much"
        text = f"the noise of the batches adds {much} to it: {remedy}"
        yield _Reason(bias > BIAS_FAILED, text)


def _center(
    mean: float, stderr: float, slope: Array | None, above: float, hint: str
) -> Iterator[_Reason]:
    """Whether w* is a minimum of the loss, as far as an LLC asks for one."""
    taken = 0.0 if slope is None else _share_taken(slope, mean)
    rest = above / max(mean + above, above) if above > 0 else 0.0
    if mean < -2 * stderr or max(taken, rest) > TAKEN_FAILED:
        how = (
            "which falls below L(w*) in the chains"
            if mean < -2 * stderr
            else f"whose slope there takes {taken:.0%} of the LLC away"
            if taken > TAKEN_FAILED
            else far_above(above)
        )
        offer = " (orthogonal=True holds w - w* orthogonal to its gradient: a constrained LLC)"
        offer = f": {hint}" if hint else "" if slope is None else offer
        yield _failed(f"w* is no minimum of the loss, {how}{offer}")
    elif taken > TAKEN_SUSPECT:
        yield _suspect(f"the slope of the loss at w* takes {taken:.0%} of the LLC away")
    elif rest > TAKEN_SUSPECT:
        yield _suspect(f"{rest:.0%} of what chains lie above the loss's minimum is there at w*")


def _precision(mean: float, stderr: float, failed: bool) -> Iterator[_Reason]:
    """Whether the error is small against the estimate; of one that failed the worst alone."""
    if stderr > STDERR_FAILED * max(abs(mean), 0.2):
        yield _failed(f"standard error {stderr:.2g} is larger than the estimate")
    elif stderr > STDERR_SUSPECT * max(abs(mean), 0.2) and not failed:
        yield _suspect(f"standard error {stderr:.2g} is large against the estimate {mean:.3g}")


def far_above(above: float) -> str:
    """How far w* lies above the least value of its loss, in words; see `diagnose`."""
    return f"which lies {above:.3g} / nbeta above its least value there"


def mean_stderr(draws: Array) -> float:
    """Monte Carlo standard error of the mean of correlated draws `[C, T]`."""
    return float(array_stats.mcse(draws, method="mean", **AXES))


def _share_taken(slope: Array, mean: float) -> float:
    """The share of the LLC without the slope that the slope takes away; 0 where that is noise."""
    pull = -float(slope.mean())
    if not pull > 3 * mean_stderr(slope):
        return 0.0
    return pull / (mean + pull) if mean + pull > 0 else np.inf


def _chains(which: NDArray[np.bool_]) -> str:
    return f"chains {np.flatnonzero(which).tolist()}"
