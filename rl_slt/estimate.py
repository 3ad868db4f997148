"""`estimate_llc`: the local learning coefficient of a policy, judged."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor, nn

from rl_slt.chains import Chains, Draws, Progress
from rl_slt.diagnostics import diagnose, drift
from rl_slt.errors import InputError
from rl_slt.flat import FlatPolicy, match_parameters, reached
from rl_slt.losses.base import Loss, LossFunction, as_loss
from rl_slt.losses.kl import PolicyKL
from rl_slt.policy_data import PolicyData
from rl_slt.result import LLCEstimate
from rl_slt.samplers.baoab import BAOAB
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.hmc import HMC
from rl_slt.target import Target

SPREAD = (0.0, 0.35, 0.7, 1.0)
RANK = 64
EXACT_LIMIT = 20_000_000


def estimate_llc(
    policy: nn.Module,
    states: Tensor | PolicyData,
    *,
    loss: LossFunction | None = None,
    sampler: Sampler | None = None,
    nbeta: float | None = None,
    localization: float = 1.0,
    chains: int = 4,
    draws: int = 400,
    burn_in: int = 200,
    batch_size: int | None = None,
    seed: int = 0,
    params: str | Sequence[str] | None = None,
    whitening: int | None = None,
    progress: Progress | None = None,
) -> LLCEstimate:
    """Estimate `nbeta (E[L] - L(w*))` under the localised tempered posterior around a policy.

    Args:
        policy: from states `[B, ...]` to action logits `[B, A]`, or `(logits, value)`. Unchanged.
        states: `[N, ...]`, or a `PolicyData`.
        loss: `loss(policy, batch) -> [B]`; None is `PolicyKL()`.
        sampler: None chooses: exact full-batch HMC where that is cheap, else whitened BAOAB.
        nbeta: inverse temperature times N; None is `N / log N`.
        localization: gamma, the pull to w*, per squared unit of weight.
        chains: independent chains.
        draws: kept per chain.
        burn_in: steps before, for adaptation and forgetting the start.
        batch_size: samples per gradient and chain; None is 64 (or all, if fewer).
        seed: of everything random here; the global random state is neither read nor changed.
        params: shell patterns of the parameters left free (`"policy_head.*"`); None is all.
        whitening: directions of curvature made round; None chooses: 0 with a sampler of your own
            (its step size means what it says), 64 otherwise.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a wrong value, named in one line.
    """
    began = time.perf_counter()
    _check(policy, chains, draws, burn_in, nbeta, localization, batch_size, whitening)
    loss_fn = as_loss(PolicyKL() if loss is None else loss)
    target = build_target(policy, states, loss_fn, nbeta, localization, params, seed)
    size = _batch_size(batch_size, target.n)
    gradient_norm = _gradient_norm(target)
    chosen = sampler if sampler is not None else choose_sampler(target)
    rank = _rank(whitening, sampler is None, target, loss_fn)
    run = Chains(
        target,
        chosen,
        [_generator(seed, c) for c in range(chains)],
        size,
        rank,
        SPREAD if sampler is None else (0.0,),
    )
    target.grads = 0
    kept = run.run(burn_in, draws, progress)
    excess = target.nbeta * (kept.loss - kept.start)
    verdict = diagnose(
        excess,
        kept.virial,
        kept.accept if chosen.full_batch else None,
        loss_fn.minimum_at_start,
    )
    loss_init = float(target.start_losses.double().mean())
    return LLCEstimate(
        llc=verdict.mean,
        stderr=verdict.stderr,
        stderr_data=None,
        rhat=verdict.rhat,
        ess=verdict.ess,
        draws=_draws_frame(kept, loss_fn.name),
        status=verdict.status,
        message=verdict.message,
        loss_init=loss_init,
        loss_mean=loss_init + verdict.mean / target.nbeta if target.nbeta else float("nan"),
        step_size=run.step_size,
        nbeta=target.nbeta,
        localization=localization,
        burn_in=burn_in,
        n_states=target.n,
        chains=chains,
        batch_size=target.n if chosen.full_batch else size,
        sampler=chosen.name,
        loss=loss_fn.name,
        seed=seed,
        gradient_norm=gradient_norm,
        sample_gradients=target.grads,
        seconds=time.perf_counter() - began,
        info={
            "virial": float(kept.virial.mean()),
            "accept": float(kept.accept.mean()),
            "drift_z": drift(excess) if np.isfinite(excess).all() else float("nan"),
            "dim": float(target.dim),
            "rank": float(rank),
        },
    )


def build_target(
    policy: nn.Module,
    states: Tensor | PolicyData,
    loss: Loss,
    nbeta: float | None,
    localization: float,
    params: str | Sequence[str] | None,
    seed: int,
) -> Target:
    """The posterior an estimate samples, on a private copy of the policy."""
    data = states if isinstance(states, PolicyData) else PolicyData(states)
    generator = _generator(seed, 1_000_003)
    everything = FlatPolicy(policy, match_parameters(policy, None))
    data = loss.prepare(everything.module, data, generator)
    few = _first_units(data, loss)
    _check_loss(loss, everything.module, few, len(few) if loss.unit == "state" else None)
    names = reached(policy, match_parameters(policy, params), lambda p: loss(p, few))
    if not names:
        raise InputError(f"the loss depends on none of the parameters {params or 'of the policy'}")
    flat = FlatPolicy(policy, names)
    target = Target(flat, data, loss, 0.0, localization)
    if target.n < 2 and nbeta is None:
        raise InputError(f"{target.n} sample; nbeta=None (N / log N) needs at least 2")
    target.nbeta = target.n / math.log(target.n) if nbeta is None else float(nbeta)
    return target


def choose_sampler(target: Target) -> Sampler:
    """HMC over all data where a gradient of it is cheap, else BAOAB on batches."""
    return HMC() if target.n * target.dim <= EXACT_LIMIT else BAOAB()


def _generator(seed: int, stream: int) -> Generator:
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) >> 1)


def _rank(whitening: int | None, automatic: bool, target: Target, loss: Loss) -> int:
    rank = (RANK if automatic else 0) if whitening is None else whitening
    if rank and (target.localization <= 0 or type(loss).score is Loss.score):
        return 0
    return min(rank, target.dim)


def _gradient_norm(target: Target) -> float:
    zero = torch.zeros(1, target.dim, dtype=target.flat.start.dtype)
    if target.loss.zero_at_start:
        return 0.0
    evaluation = target.evaluate(zero, [None], [_generator(0, 7)])
    return float(evaluation.grad.norm()) / target.nbeta if target.nbeta else float("nan")


def _first_units(data: PolicyData, loss: Loss) -> PolicyData:
    if loss.unit == "episode" and data.episode is not None:
        return data.subset(data.episode == data.episode[0])
    return data.take(slice(0, 4))


def _check_loss(loss: Loss, module: nn.Module, batch: PolicyData, rows: int | None) -> None:
    value = loss(module, batch)
    wanted = [1 if rows is None else rows]
    if not isinstance(value, Tensor) or list(value.shape) != wanted:
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"loss {loss.name} returned {shape}; it must be one per sample, {wanted}")
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"loss {loss.name} is not finite at the policy's own weights")


def _batch_size(batch_size: int | None, n: int) -> int:
    if batch_size is None:
        return min(64, n)
    if batch_size > n:
        raise InputError(f"batch_size={batch_size}; it must be at most the number of samples, {n}")
    return batch_size


def _check(
    policy: nn.Module,
    chains: int,
    draws: int,
    burn_in: int,
    nbeta: float | None,
    localization: float,
    batch_size: int | None,
    whitening: int | None,
) -> None:
    if not isinstance(policy, nn.Module):
        raise InputError(f"policy is a {type(policy).__name__}; it must be a torch.nn.Module")
    least = {"chains": (chains, 2), "draws": (draws, 8), "burn_in": (burn_in, 0)}
    least |= {"batch_size": (batch_size or 1, 1), "whitening": (whitening or 0, 0)}
    if batch_size == 0:
        raise InputError("batch_size=0; it must be at least 1")
    for name, (value, low) in least.items():
        if value < low:
            raise InputError(f"{name}={value}; it must be at least {low}")
    for name, number in (("nbeta", nbeta), ("localization", localization)):
        if number is not None and not 0 <= number < math.inf:
            raise InputError(f"{name}={number}; it must be a finite number, 0 or more")


def _draws_frame(kept: Draws, loss: str) -> pd.DataFrame:
    chains, draws = kept.loss.shape
    return pd.DataFrame(
        {
            "run": "",
            "step": 0,
            "estimate_id": "",
            "loss": loss,
            "states": "",
            "chain": np.repeat(np.arange(chains), draws),
            "draw": np.tile(np.arange(draws), chains),
            "loss_value": kept.loss.reshape(-1),
            "loss_start": kept.start.reshape(-1),
        }
    )
