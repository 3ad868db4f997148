"""`estimate_llc`: the local learning coefficient of a policy, judged."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rl_slt.data.clusters import cluster_stderr
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import ConvergenceWarning, InputError
from rl_slt.gradients.precision import full_float32
from rl_slt.gradients.traced import has_conv
from rl_slt.losses.base import LossFunction, as_loss
from rl_slt.losses.kl import PolicyKL
from rl_slt.posterior.build import (
    GRADIENT_STREAM,
    SPECTRUM_STREAM,
    TRACES_STREAM,
    build_target,
    device_of,
    generator_for,
)
from rl_slt.posterior.curvature import count_rows
from rl_slt.posterior.sharpness import posterior_kl, sharpness_of
from rl_slt.posterior.spectrum import Measured, Spectrum, spectrum_of
from rl_slt.posterior.target import Target
from rl_slt.response.traces import Recorder, Tracing
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler, check_sampler
from rl_slt.samplers.chains import Chains, Draws, Progress, no_draws
from rl_slt.samplers.hmc import HMC
from rl_slt.settings import PILOT_DRAWS, Gauge, Precision, Seeded, Settings, relative_part
from rl_slt.settings_model import renamed_keywords
from rl_slt.threads import one_thread
from rl_slt.verdict.diagnostics import ESS_SUSPECT, Array, Diagnosis, diagnose
from rl_slt.verdict.jackknife import states_stderr
from rl_slt.verdict.minimum import above_minimum, largest_llc, refusal

INIT_DISPERSION = (0.0, 0.35, 0.7, 1.0)
RANK, WIDE_RANK = 64, 16
WIDE = 20_000  # weights above which a direction costs more than it gives: each is read every step
EXACT_LIMIT = 20_000_000  # states times weights below which gradients over all data are cheap
ELEMENT = 16  # weights that cost as much as one number of a state, which pooling reads slowly
RELATIVE_ERROR, SLACK = 0.035, 1.25  # wanted; that many times fewer draws will do
LEAST_ESS, MOST_DRAWS = 800, 6000


@renamed_keywords(whitening="preconditioner_rank", data_error="states_error")
def estimate_llc(
    policy: nn.Module,
    states: Tensor | PolicyData,
    *,
    loss: LossFunction | None = None,
    sampler: Sampler | None = None,
    nbeta: float | str | None = None,
    localization: float | str = 1.0,
    chains: int = 4,
    draws: int | None = None,
    burn_in: int = 200,
    batch_size: int | None = None,
    seed: int = 0,
    params: str | tuple[str, ...] | None = None,
    preconditioner_rank: int | None = None,
    precision: Precision = "auto",
    gauge: Gauge = "auto",
    orthogonal: bool = False,
    distinct_actions: Sequence[Sequence[int]] | None = None,
    match_entropy: float | None = None,
    states_error: bool = True,
    traces: bool | int | Tracing = False,
    progress: Progress | None = None,
) -> LLCEstimate:
    """Estimate the LLC `nbeta (E[L] - L(w*))` under the localized tempered posterior of a policy.

    The posterior is `p(w) ~ exp(-nbeta L_n(w) - (localization / 2) |w - w*|^2)` around the
    policy's own weights w* (Lau et al. 2023, arXiv 2308.12108).

    Args:
        policy: from states `[B, ...]` to action logits `[B, A]`, or `(logits, value)`. Unchanged.
            Everything is computed where its parameters are, on the CPU or a GPU.
        states: `[N, ...]`, or a `PolicyData`; brought to the policy's device, all at once.
        loss: `loss(policy, batch) -> [B]`; None is `PolicyKL()`. An LLC is that of a minimum: where
            the loss falls from w*, or its slope there takes more than 30 % of it away, there is
            none (status `failed`, NaN). `orthogonal=True` then gives one constrained to the
            directions orthogonal to the gradient.
        sampler: None chooses: exact full-batch HMC where that is cheap, else BAOAB on batches.
        nbeta: inverse temperature times the number of states N; None is `N / log N`;
            `"relative:K"` sets it so that
            `nbeta tr(H) / (2 localization) = K`, H the loss's curvature at w*: the ridge
            `localization / nbeta` is then 1 / (2 K) of the trace, and the estimate depends to
            first order on neither the loss's unit, the localization nor the policy's sharpness.
        localization: gamma, the pull to w*, per squared unit of weight; `"relative:C"` gives the
            localizer the radius `sqrt(d / gamma) = C |w*|`, in the gauge in use.
        chains: independent chains, at least 2; those of a small network without convolutions, and
            on a GPU all, are computed together: 16 on few states take a little longer than 4.
        draws: kept per chain, at least 8; None is 400, and more where draws are cheap and 400 too
            few for a standard error of 4 %.
        burn_in: steps before, for adaptation and forgetting the start.
        batch_size: samples per gradient and chain; None is 64 (or all, if fewer).
        seed: of everything random here; the global random state is neither read nor changed.
        params: shell patterns of the parameters left free (`"policy_head.*"`); None is all.
        preconditioner_rank: leading curvature directions to precondition, in units of the
            localizer's width; None is 64 (16 above 20,000 weights), or plain coordinates with a
            step size of your own (which then means what it says).
        precision: of convolutions: float32, bfloat16 (on CPUs), or auto, which is bfloat16 where
            the processor has units for it (AMX). What its rounding changes is some hundredths of
            the standard error (`benchmarks/results/llc_precision.md`).
        gauge: scale of hidden (ReLU) units, which leaves the policy equal and moves the estimate:
            balanced (incoming norm equals outgoing norm), none (as given), or auto, balanced
            where the network's units can be scaled.
        orthogonal: hold w - w* orthogonal to the loss's gradient at w*, with any sampler. Within
            that subspace w* is a critical point of every loss, and of a quadratic loss the
            posterior stays Gaussian. At a minimum, as of a self-KL, nothing is held.
        distinct_actions: classes of actions that do the same, `[[0], [1], [2, 3]]`, each action
            in one of them: merged by their probability before the loss; None keeps all apart.
        match_entropy: mean entropy in nats that the policy is brought to first, by one factor of
            all logits through its last layer; a control for its sharpness. None leaves it.
        states_error: also estimate the sampling error over states (`stderr_states`), over episodes
            where `states` are a `PolicyData` with `episode`; else states count as independent.
        traces: keep the loss of every state at evenly spaced draws (`e.traces`): True as many as
            add about a tenth to the cost, a number that many of each chain, a `Tracing` those of
            further states, too.
        progress: called with (steps done, steps in all).

    Returns:
        The estimate with its errors, its draws and a verdict.

    Raises:
        InputError: a wrong value, named in one line.

    Warns:
        ConvergenceWarning: the verdict is `suspect` or `failed`; the message says why.

    Example:
        >>> estimate_llc(policy, states, localization=10.0, chains=8).llc
    """
    settings = Settings(
        sampler=sampler, nbeta=nbeta, localization=localization, chains=chains, draws=draws,
        burn_in=burn_in, batch_size=batch_size, params=params,
        preconditioner_rank=preconditioner_rank, precision=precision, gauge=gauge,
        orthogonal=orthogonal,
        distinct_actions=distinct_actions,  # type: ignore[arg-type]  # it makes tuples of them
        match_entropy=match_entropy,
    )  # fmt: skip
    estimate = estimate_with(
        policy, states, settings, loss, seed=seed, states_error=states_error, traces=traces,
        progress=progress,
    )  # fmt: skip
    if estimate.status != "ok":
        text = f"this LLC is {estimate.status}: {estimate.message}"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)
    return estimate


@renamed_keywords(data_error="states_error")
@one_thread()
def estimate_with(
    policy: nn.Module,
    states: Tensor | PolicyData,
    settings: Settings,
    loss: LossFunction | None = None,
    *,
    seed: int = 0,
    states_error: bool = True,
    traces: bool | int | Tracing = False,
    progress: Progress | None = None,
) -> LLCEstimate:
    """`estimate_llc` with its settings in one object, for example `POLICY_CNN`, and no warning.

    On one thread (`rl_slt.threads`), however many torch is set to.

    Args:
        policy: from states `[B, ...]` to action logits `[B, A]`, or `(logits, value)`. Unchanged.
        states: `[N, ...]`, or a `PolicyData`.
        settings: all settings of the estimate.
        loss: None is `PolicyKL()`.
        seed: of everything random.
        states_error: whether to estimate the sampling error over states, too.
        progress: called with (steps done, steps in all).
        traces: as for `estimate_llc`.

    Raises:
        InputError: a wrong value, named in one line.
    """
    began = time.perf_counter()
    target = prepare_target(policy, states, settings, loss, seed)
    center = center_of(target, settings, seed, of_hessian=False)
    chains = prepare_chains(target, settings, seed)
    if (tracing := Tracing.of(traces)) is not None:
        generator = generator_for(seed, TRACES_STREAM, target.device)
        recorder = Recorder(target, tracing, settings.distinct_actions, generator)
        draws, batch = settings.draws or PILOT_DRAWS, chains.batch_size
        batch = target.n if chains.sampler.full_batch else batch
        recorder.plan(settings.chains, settings.burn_in + draws, draws, batch)
        chains.recorder = recorder
    return estimate_on(
        chains, settings, center,
        seed=seed, states_error=states_error, progress=progress, began=began,
    )  # fmt: skip


def prepare_target(
    policy: nn.Module,
    states: Tensor | PolicyData,
    settings: Settings,
    loss: LossFunction | None,
    seed: int,
) -> Target:
    """The posterior that the settings ask for; the arguments are those of `estimate_with`.

    Raises:
        InputError: a wrong value, named in one line.
    """
    Seeded(seed=seed)
    if not isinstance(policy, nn.Module):
        raise InputError(f"policy is a {type(policy).__name__}; it must be a torch.nn.Module")
    with full_float32(policy), _enough_memory(policy, settings):
        return build_target(
            policy, states, as_loss(PolicyKL() if loss is None else loss),
            settings.nbeta, settings.localization, settings.params, seed, settings.precision,
            settings.gauge, settings.distinct_actions, settings.match_entropy,
        )  # fmt: skip


class Center(NamedTuple):
    """What is known at w*, whatever the temperature.

    Attributes:
        gradient: of the loss over all data `[d]`; exactly 0 for a self-KL.
        spectrum: of the loss's curvature; None where it is not known.
    """

    gradient: Tensor
    spectrum: Spectrum | None

    def half_d_eff(self, nbeta: float, localization: float) -> Measured:
        """Half the effective dimension; NaN where the spectrum is not known."""
        if self.spectrum is None:
            return Measured(math.nan, math.nan)
        return self.spectrum.half_effective_dimension(nbeta, localization)

    def free_energy(self, nbeta: float, localization: float) -> Measured:
        """Of the Gaussian of this curvature, nats; NaN where the spectrum is not known."""
        if self.spectrum is None:
            return Measured(math.nan, math.nan)
        return self.spectrum.free_energy(nbeta, localization)


def center_of(target: Target, settings: Settings, seed: int, *, of_hessian: bool) -> Center:
    """Gradient and spectrum at w*.

    Args:
        target: the posterior, at any temperature.
        settings: of the chains that it will have.
        seed: of the signs of the rows that stand for the spectrum.
        of_hessian: whether it may come from the Hessian where the loss knows no rows of it, which
            takes longer than one estimate is worth.
    """
    policy = target.flat.module
    with full_float32(policy), _enough_memory(policy, settings):
        gradient = target.center_gradient(generator_for(seed, GRADIENT_STREAM, target.device))
        spectrum = None
        if of_hessian or count_rows(target) is not None:
            spectrum = spectrum_of(target, generator_for(seed, SPECTRUM_STREAM, target.device))
    return Center(gradient, spectrum)


def estimate_on(
    chains: Chains,
    settings: Settings,
    center: Center,
    *,
    seed: int,
    states_error: bool = True,
    progress: Progress | None = None,
    began: float | None = None,
    most_draws: int = 0,
) -> LLCEstimate:
    """The estimate that chains give on their target as it is: burn-in, draws and verdict.

    Args:
        chains: of `prepare_chains`; where they have drawn before they go on from there.
        settings: how many burn-in steps and draws.
        center: of `center_of`, on the same target.
        seed: of all that is random besides the chains.
        states_error: as in `estimate_llc`.
        progress: as in `estimate_llc`.
        began: when the work began, of `time.perf_counter`; None is now.
        most_draws: per chain, up to which as many as the settings say are added again while chains
            disagree or draws are worth too few independent ones.
    """
    began = time.perf_counter() if began is None else began
    target, policy = chains.target, chains.target.flat.module
    with full_float32(policy), _enough_memory(policy, settings):
        gradient = center.gradient
        gradient_norm = float(gradient.norm())
        held = settings.orthogonal or chains.sampler.orthogonal
        if held and gradient_norm > 0:
            target.direction = gradient / gradient_norm
        target.grads = 0  # the sampler's alone count

        above = above_minimum(target, gradient_norm)
        refused = refusal(above, largest_llc(chains, seed), target.loss.hint) if above > 0 else ""
        if refused:
            draws = no_draws(settings.chains)
        else:
            draws = run_chains(chains, settings, progress, most_draws)
        values = excess(draws, target.nbeta)
        llc = _mean(values) if np.isfinite(values).all() else math.nan
        slope = None if target.direction is not None else _linear_part(chains, gradient)
        report = {} if refused else _loss_report(target, chains.snapshots)
        verdict = diagnose(
            values, draws.virial, draws.accept, slope, refused or target.loss.undefined(report),
            stiff=draws.stiff, noise=draws.noise, noise_bias=chains.bias, hint=target.loss.hint,
            least_ess=LEAST_ESS / 2 if _draws_open(chains, settings) else ESS_SUSPECT, above=above,
        )  # fmt: skip
        sampled = not target.loss.population
        jackknife = states_error and sampled and verdict.status != "failed"
        curvature = None if relative_part(settings.nbeta) is None else target.trace.samples
        stderr_states = (
            states_stderr(target, chains.snapshots, seed, curvature) if jackknife else None
        )
        sharpness = sharpness_of(target.center_logits)
        kl = loss_mean = _mean(draws.loss - draws.loss_at_center)
        recorded = None
        if isinstance(chains.recorder, Recorder):
            recorded = chains.recorder.traces(verdict.status, verdict.message)
        if not target.loss.zero_at_center and not refused:
            kl = posterior_kl(target, chains.snapshots)

    at_center = target.center_losses.double()
    if target.loss.zero_at_center:  # by definition, whatever bfloat16 makes of it
        at_center = torch.zeros_like(at_center)
    loss_init = float(at_center.mean())
    constrained = held and not target.loss.zero_at_center
    half = Measured(math.nan, math.nan)  # of all directions: none of a constrained LLC
    if not constrained:
        half = center.half_d_eff(target.nbeta, target.localization)
    estimate = LLCEstimate(
        llc=llc if target.nbeta else 0.0 * llc,  # NaN stays NaN
        stderr=verdict.stderr if target.nbeta else 0.0,
        stderr_states=stderr_states,
        rhat=verdict.rhat,
        ess=verdict.ess,
        draws=_draws_frame(draws, target.loss.name),
        status=verdict.status,
        message=verdict.message,
        loss_init=loss_init,
        loss_init_stderr=cluster_stderr(at_center, target.samples.clusters) if sampled else 0.0,
        minimum=target.loss.minimum,
        loss_mean=loss_init + loss_mean,
        kl=kl,
        **sharpness._asdict(),
        matched_entropy=settings.match_entropy,
        trace=target.trace.value,
        trace_stderr=target.trace.stderr,
        relative_temperature=target.trace.relative_temperature(target.nbeta, target.localization),
        half_d_eff=half.value,
        half_d_eff_stderr=half.stderr,
        step_size=chains.step_size,
        nbeta=target.nbeta,
        localization=target.localization,
        burn_in=settings.burn_in,
        n_states=target.n,
        chains=settings.chains,
        batch_size=target.n if chains.sampler.full_batch else chains.batch_size,
        sampler=chains.sampler.name,
        constrained=constrained,
        loss=target.loss.name,
        seed=seed,
        precision="bfloat16" if target.rounded else "float32",
        gauge=target.gauge,
        device=target.device.type,
        threads=torch.get_num_threads(),
        gradient_norm=gradient_norm,
        sample_gradients=target.grads,
        seconds=time.perf_counter() - began,
        info=_info(chains, draws, verdict) | report,
        traces=recorded,
    )
    return estimate.without_llc() if verdict.status == "failed" else estimate


def excess(draws: Draws, nbeta: float) -> Array:
    """Draws `[C, T]` of `nbeta (L - L(w*))`, whose mean is the LLC (Lau et al. 2023).

    Each draw's loss is compared with the loss at w* over the same batch, a control variate whose
    mean over batches is L(w*). In a control with nbeta 0 they are of `L - L(w*)`.
    """
    return np.asarray((nbeta or 1.0) * (draws.loss - draws.loss_at_center))


def _mean(values: Array) -> float:
    """NaN where there are none."""
    return float(values.mean()) if values.size else math.nan


def prepare_chains(target: Target, settings: Settings, seed: int) -> Chains:
    """Chains on a target, with what the settings leave open chosen for the problem.

    Raises:
        InputError: the batch is larger than the data, or the loss has no energy for the sampler.
    """
    sampler = settings.sampler or choose_sampler(target)
    check_sampler(sampler)
    if sampler.full_batch and target.loss.redrawn:
        raise InputError(
            f"sampler {sampler.name} needs a fixed loss, but {target.loss.name} redraws its actions"
        )
    batch_size = min(64, target.n) if settings.batch_size is None else settings.batch_size
    if batch_size > target.n:
        raise InputError.of("batch_size", batch_size, f"at most the number of samples, {target.n}")
    rank = settings.preconditioner_rank
    if rank is None and sampler.step_size is None:
        rank = RANK if target.dim <= WIDE else WIDE_RANK
    rank = min(rank, target.dim) if rank is not None else None
    return Chains(
        target,
        sampler,
        [generator_for(seed, c, target.device) for c in range(settings.chains)],
        batch_size,
        rank,
        (0.0,) if rank is None or target.localization == 0 else INIT_DISPERSION,
    )


def choose_sampler(target: Target) -> Sampler:
    """HMC over all data where a gradient of it is cheap, else BAOAB on batches.

    Convolutions use each weight at many places, so there it is slow with few weights, too; and so
    it is where few weights follow the pooling of large frames.
    """
    one = max(target.dim, ELEMENT * target.data.states[0].numel())
    cheap = len(target.data) * one <= EXACT_LIMIT and not has_conv(target.flat.module)
    return HMC(rotate=True) if cheap and not target.loss.redrawn else BAOAB()


def run_chains(
    chains: Chains, settings: Settings, progress: Progress | None, most_draws: int = 0
) -> Draws:
    """Burn in and draw; where draws are cheap and their number open, as many as are needed.

    The arguments are those of `estimate_on`.
    """
    draws = settings.draws or PILOT_DRAWS
    done, total = 0, settings.burn_in + draws

    def stepped() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    chains.burn_in(settings.burn_in, stepped)
    kept = chains.draw(draws, stepped)
    while (
        kept.loss.shape[1] + draws <= most_draws
        and not diagnose(excess(kept, chains.target.nbeta)).converged
    ):
        total += draws
        kept = kept.followed_by(chains.draw(draws, stepped))
    if not _draws_open(chains, settings):
        return kept
    while True:
        values = excess(kept, chains.target.nbeta)
        found = diagnose(values)
        more = draws_lacking(float(values.mean()), found.stderr, found.ess, values.shape[1])
        if more <= 0:
            return kept
        total += more
        chains.snapshots.clear()
        kept = kept.followed_by(chains.draw(more, stepped))


def _draws_open(chains: Chains, settings: Settings) -> bool:
    """Whether draws are cheap and their number was left open."""
    cheap = chains.sampler.full_batch or chains.target.batched
    return settings.draws is None and cheap


def draws_lacking(mean: float, stderr: float, ess: float, draws: int) -> int:
    """How many more draws per chain the wanted relative error takes, judged by those made.

    And the effective sample size from which on the error can be relied on: on batches of 64 the
    errors of runs with half of it are a fifth too small.
    """
    if not mean > 0 or not math.isfinite(stderr):
        return 0
    need = draws * max((stderr / (RELATIVE_ERROR * mean)) ** 2, LEAST_ESS / max(ess, 1.0))
    return int(min(need, MOST_DRAWS) - draws) if need > SLACK * draws else 0


def _linear_part(chains: Chains, gradient: Tensor) -> Array | None:
    """`nbeta (w - w*) . grad L(w*)` `[C, S]` at the kept draws; None where w* is critical."""
    if not (gradient.any() and chains.snapshots):
        return None
    along = torch.stack([kept @ gradient for kept in chains.snapshots], dim=1)
    return np.asarray(chains.target.nbeta * along.double().cpu().numpy())


def _info(chains: Chains, draws: Draws, verdict: Diagnosis) -> dict[str, float]:
    """How the chains went, for those who look into an estimate."""
    target = chains.target
    return {
        "virial": _mean(draws.virial),
        "virial_stiff": math.nan if draws.stiff is None else float(draws.stiff.mean()),
        "batch_noise": math.nan if draws.noise is None else float(draws.noise.mean()),
        "batch_bias": chains.bias,
        "accept": _mean(draws.accept),
        "drift_z": verdict.drift,
        "dim": float(target.dim),
        "rank": float(-1 if chains.rank is None else chains.rank),
        "bfloat16": float(target.rounded),
        "traced": float(target.traced is not None),
    }


def _loss_report(target: Target, snapshots: Sequence[Tensor]) -> dict[str, float]:
    """What the loss says of itself, mean over two draws of each chain."""
    draws = [w for kept in (snapshots[len(snapshots) // 2], snapshots[-1]) for w in kept]
    modules = (target.flat.load(target.flat.w_star + w) for w in draws)
    found = [target.loss.report(module, target.data) for module in modules]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@contextmanager
def _enough_memory(policy: nn.Module, settings: Settings) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"out of memory on {device_of(policy)} with chains={settings.chains}, "
            f"batch_size={settings.batch_size}; try fewer, or the CPU"
        ) from error


def _draws_frame(draws: Draws, loss: str) -> pd.DataFrame:
    """In the columns of `llc_draws`; run, step, states and id are for the caller to fill."""
    chains, count = draws.loss.shape
    fixed = {"run": "", "step": 0, "estimate_id": "", "loss": loss, "states": ""}
    columns = {
        "chain": np.repeat(np.arange(chains), count),
        "draw": np.tile(np.arange(count), chains),
        "loss_value": draws.loss.reshape(-1),
        "loss_at_center": draws.loss_at_center.reshape(-1),
    }
    return pd.DataFrame(fixed | columns)
