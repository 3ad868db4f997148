"""`estimate_llc`: the local learning coefficient of a policy, judged."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.gradients.precision import full_float32
from rl_slt.gradients.traced import has_conv
from rl_slt.losses.base import Loss, LossFunction, as_loss
from rl_slt.losses.kl import PolicyKL
from rl_slt.posterior.build import build_target, device_of, generator_for, start_gradient
from rl_slt.posterior.target import Target
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler, check_sampler
from rl_slt.samplers.chains import Chains, Draws, Progress, join
from rl_slt.samplers.hmc import HMC
from rl_slt.settings import PILOT_DRAWS, Precision, Settings
from rl_slt.settings_model import renamed_keywords
from rl_slt.verdict.diagnostics import Diagnosis, diagnose, drift
from rl_slt.verdict.jackknife import data_stderr

SPREAD = (0.0, 0.35, 0.7, 1.0)
RANK, WIDE_RANK = 64, 16
WIDE = 50_000  # weights above which a direction costs more than it gives: each is read every step
EXACT_LIMIT = 20_000_000  # states times weights below which gradients over all data are cheap
PRECISION, SLACK = 0.035, 1.25  # wanted relative error; that many times fewer draws will do
MOST_DRAWS = 6000


@renamed_keywords(whitening="preconditioner_rank")
def estimate_llc(
    policy: nn.Module,
    states: Tensor | PolicyData,
    *,
    loss: LossFunction | None = None,
    sampler: Sampler | None = None,
    nbeta: float | None = None,
    localization: float = 1.0,
    chains: int = 4,
    draws: int | None = None,
    burn_in: int = 200,
    batch_size: int | None = None,
    seed: int = 0,
    params: str | tuple[str, ...] | None = None,
    preconditioner_rank: int | None = None,
    precision: Precision = "auto",
    data_error: bool = True,
    progress: Progress | None = None,
) -> LLCEstimate:
    """Estimate `nbeta (E[L] - L(w*))` under the localised tempered posterior around a policy.

    The posterior is `p(w) ~ exp(-nbeta L_n(w) - (localization / 2) |w - w*|^2)`.

    Args:
        policy: from states `[B, ...]` to action logits `[B, A]`, or `(logits, value)`. Unchanged.
            Everything is computed where its parameters are, on the CPU or a GPU.
        states: `[N, ...]`, or a `PolicyData`; brought to the policy's device, all at once.
        loss: `loss(policy, batch) -> [B]`; None is `PolicyKL()`.
        sampler: None chooses: exact full-batch HMC where that is cheap, else BAOAB on batches.
        nbeta: inverse temperature times N; None is `N / log N`.
        localization: gamma, the pull to w*, per squared unit of weight.
        chains: independent chains, at least 2; those of a small network without convolutions, and
            on a GPU all, are computed together: 16 on few states take a little longer than 4.
        draws: kept per chain; None is 400, and more where draws are cheap and 400 too few.
        burn_in: steps before, for adaptation and forgetting the start.
        batch_size: samples per gradient and chain; None is 64 (or all, if fewer).
        seed: of everything random here; the global random state is neither read nor changed.
        params: shell patterns of the parameters left free (`"policy_head.*"`); None is all.
        preconditioner_rank: leading curvature directions to precondition, in units of the
            localizer's width; None is 64 (16 above 50,000 weights), or plain coordinates with a
            step size of your own (which then means what it says).
        precision: of convolutions: float32, bfloat16 (on CPUs), or auto, which is bfloat16 where
            the processor has units for it (AMX). What its rounding changes is some hundredths of
            the error told (`benchmarks/results/llc_precision.md`).
        data_error: also estimate the error that comes from the states being a sample.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a wrong value, named in one line.
    """
    settings = Settings(
        sampler=sampler, nbeta=nbeta, localization=localization, chains=chains, draws=draws,
        burn_in=burn_in, batch_size=batch_size, params=params,
        preconditioner_rank=preconditioner_rank, precision=precision,
    )  # fmt: skip
    return estimate_with(
        policy, states, settings, loss, seed=seed, data_error=data_error, progress=progress
    )


def estimate_with(
    policy: nn.Module,
    states: Tensor | PolicyData,
    settings: Settings,
    loss: LossFunction | None = None,
    *,
    seed: int = 0,
    data_error: bool = True,
    progress: Progress | None = None,
) -> LLCEstimate:
    """`estimate_llc` with its settings in one object, for example `settings.POLICY_CNN`.

    Raises:
        InputError: a wrong value, named in one line.
    """
    began = time.perf_counter()
    if not isinstance(policy, nn.Module):
        raise InputError(f"policy is a {type(policy).__name__}; it must be a torch.nn.Module")
    with full_float32(policy):
        try:
            result = _estimate(policy, states, settings, loss, seed, data_error, progress)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"out of memory on {device_of(policy)} with chains={settings.chains}, "
                f"batch_size={settings.batch_size}; try fewer, or the CPU"
            ) from error
    return result.with_more(seconds=time.perf_counter() - began)


def _estimate(
    policy: nn.Module,
    states: Tensor | PolicyData,
    settings: Settings,
    loss: LossFunction | None,
    seed: int,
    data_error: bool,
    progress: Progress | None,
) -> LLCEstimate:
    loss_fn = as_loss(PolicyKL() if loss is None else loss)
    target = build_target(
        policy, states, loss_fn, settings.nbeta, settings.localization, settings.params, seed,
        settings.precision,
    )  # fmt: skip
    run = prepare_chains(target, settings, seed)
    gradient = start_gradient(target, seed)
    if run.sampler.orthogonal and float(gradient.norm()) > 0:
        target.direction = gradient / gradient.norm()
    target.grads = 0
    kept = _run(run, settings, progress)
    verdict = judge(kept, target, run.sampler)
    wanted = data_error and verdict.status != "failed"
    share = data_stderr(target, run.snapshots, seed) if wanted else None
    result = _result(verdict, kept, run, settings, seed)
    return result.with_more(
        stderr_data=share,
        gradient_norm=float(gradient.norm()),
    )


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
    rank = settings.preconditioner_rank
    if rank is None and sampler.step_size is None:
        rank = RANK if target.dim <= WIDE else WIDE_RANK
    rank = min(rank, target.dim) if rank is not None else None
    return Chains(
        target,
        sampler,
        [generator_for(seed, c, target.device) for c in range(settings.chains)],
        _batch_size(settings.batch_size, target.n),
        rank,
        (0.0,) if rank is None or target.localization == 0 else SPREAD,
    )


def choose_sampler(target: Target) -> Sampler:
    """HMC over all data where a gradient of it is cheap, else BAOAB on batches.

    Convolutions use each weight at many places, so there it is dear with few weights, too.
    """
    cheap = len(target.data) * target.dim <= EXACT_LIMIT and not has_conv(target.flat.module)
    return HMC(rotate=True) if cheap and not target.loss.redrawn else BAOAB()


def judge(kept: Draws, target: Target, sampler: Sampler) -> Diagnosis:
    """Verdict on the draws of `nbeta (L - L(w*))`; of `L - L(w*)` in a control with nbeta 0."""
    excess = (target.nbeta or 1.0) * (kept.loss - kept.start)
    return diagnose(excess, kept.virial, kept.accept if sampler.full_batch else None)


def _run(run: Chains, settings: Settings, progress: Progress | None) -> Draws:
    """Burn in and draw; where draws are cheap and their number open, as many as are needed."""
    draws = settings.draws or PILOT_DRAWS
    total = settings.burn_in + draws

    def tell(before: int, done: int) -> None:
        if progress is not None:
            progress(before + done, total)

    run.burn_in(settings.burn_in, partial(tell, 0))
    kept = run.draw(draws, partial(tell, settings.burn_in))
    if settings.draws is not None or not run.sampler.full_batch:
        return kept
    while (more := _draws_lacking(judge(kept, run.target, run.sampler), kept.loss.shape[1])) > 0:
        before, total = total, total + more
        run.snapshots.clear()
        kept = join([kept, run.draw(more, partial(tell, before))])
    return kept


def _draws_lacking(so_far: Diagnosis, draws: int) -> int:
    """How many more draws per chain the wanted relative error takes, judged by those made."""
    if not so_far.mean > 0 or not math.isfinite(so_far.stderr):
        return 0
    need = draws * (so_far.stderr / (PRECISION * so_far.mean)) ** 2
    return int(min(need, MOST_DRAWS) - draws) if need > SLACK * draws else 0


def _batch_size(batch_size: int | None, n: int) -> int:
    if batch_size is None:
        return min(64, n)
    if batch_size > n:
        raise InputError(f"batch_size={batch_size}; it must be at most the number of samples, {n}")
    return batch_size


def _result(
    verdict: Diagnosis, kept: Draws, run: Chains, settings: Settings, seed: int
) -> LLCEstimate:
    target = run.target
    excess = (target.nbeta or 1.0) * (kept.loss - kept.start)
    at_start = target.start_losses.double()
    if target.loss.zero_at_start:  # by definition, whatever rounding makes of it
        at_start = torch.zeros_like(at_start)
    loss_init = float(at_start.mean())
    info = {
        "virial": float(kept.virial.mean()),
        "accept": float(kept.accept.mean()),
        "drift_z": drift(excess) if math.isfinite(verdict.stderr) else float("nan"),
        "dim": float(target.dim),
        "rank": float(-1 if run.rank is None else run.rank),
        "bfloat16": float(target.rounded),
        "traced": float(target.traced is not None),
    } | _report(run)
    return LLCEstimate(
        llc=verdict.mean if target.nbeta else 0.0,
        stderr=verdict.stderr if target.nbeta else 0.0,
        stderr_data=None,
        rhat=verdict.rhat,
        ess=verdict.ess,
        draws=_draws_frame(kept, target.loss),
        status=verdict.status,
        message=verdict.message,
        loss_init=loss_init,
        loss_init_stderr=_mean_error(at_start),
        loss_mean=loss_init + float((kept.loss - kept.start).mean()),
        step_size=run.step_size,
        nbeta=target.nbeta,
        localization=target.localization,
        burn_in=settings.burn_in,
        n_states=target.n,
        chains=settings.chains,
        batch_size=target.n if run.sampler.full_batch else run.batch_size,
        sampler=run.sampler.name,
        loss=target.loss.name,
        seed=seed,
        gradient_norm=float("nan"),
        sample_gradients=target.grads,
        seconds=float("nan"),
        info=info,
    )


def _mean_error(losses: Tensor) -> float:
    """Standard error of the mean of independent losses `[n]`; NaN for one."""
    n = len(losses)
    return float(losses.std()) / math.sqrt(n) if n > 1 else float("nan")


def _report(run: Chains) -> dict[str, float]:
    """What the loss says of itself at the last draw kept aside."""
    if not run.snapshots:
        return {}
    target = run.target
    module = target.flat.load(target.flat.start + run.snapshots[-1][0])
    return target.loss.report(module, target.data)


def _draws_frame(kept: Draws, loss: Loss) -> pd.DataFrame:
    """In the columns of `llc_draws`; run, step, states and id are for the caller to fill."""
    chains, draws = kept.loss.shape
    fixed = {"run": "", "step": 0, "estimate_id": "", "loss": loss.name, "states": ""}
    columns = {
        "chain": np.repeat(np.arange(chains), draws),
        "draw": np.tile(np.arange(draws), chains),
        "loss_value": kept.loss.reshape(-1),
        "loss_start": kept.start.reshape(-1),
    }
    return pd.DataFrame(fixed | columns)
