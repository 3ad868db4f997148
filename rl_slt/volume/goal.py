"""`goal_volume`: the share of the localizer's mass in which a score keeps its sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.estimate import prepare_target
from rl_slt.losses.base import LossFunction
from rl_slt.posterior.build import generator_for
from rl_slt.posterior.target import Preconditioner
from rl_slt.settings import Settings
from rl_slt.threads import one_thread
from rl_slt.volume.rays import Share, rays_of, refused
from rl_slt.volume.splitting import log_probability

RAYS_STREAM, LINEAR_STREAM, SPLITTING_STREAM = 1_000_101, 1_000_102, 1_000_103
POPULATIONS, LEAST_PARTICLES = 4, 4  # of a population, so that a quarter of it is one
LEAST_ACCEPT = 0.05
LINEAR_DRAWS, LEAST_LINEAR = 64, 0.9  # weights at which the slope must explain the change
Score = Callable[[nn.Module], Tensor]


@one_thread()
def goal_volume(
    policy: nn.Module,
    states: Tensor | PolicyData,
    score: Score,
    *,
    loss: LossFunction | None = None,
    keeps: Sequence[float] = (0.0, 0.5),
    directions: int = 128,
    particles: int = 64,
    seed: int = 0,
    **settings: object,
) -> pd.DataFrame:
    """The share of the localizer's mass in which a goal score keeps its sign, or half its size.

    By three ways: multilevel splitting, which needs no gradient and no closeness to w*; the
    linear one, `Phi((1 - keep) |score| sqrt(gamma) / |gradient|)`, refused where the slope
    explains less than 90 % of the score's mean square change over the localizer; and rays from w*
    in random directions. The first is the one to read where the others differ.

    Args:
        policy: as in `estimate_llc`.
        states: on which it is seen which weights matter and how units are balanced.
        score: of a policy, a number `[]` with a gradient; its sign at w* is the goal.
        loss: by which it is seen which weights matter; None is the KL.
        keeps: shares of its value at w* that the score must keep, from 0 (the sign) to below 1.
        directions: rays.
        particles: in each of four populations of the splitting, whose spread is its error; 4 at
            least.
        seed: of all that is random.
        settings: `localization`, `gauge`, `params` and others of `estimate_llc`.

    Returns:
        A row for each share kept and method (`splitting`, `gaussian`, `rays`): keep, method,
        score (at w*), localization, minus_log_share (nats; NaN where it has no support),
        minus_log_share_stderr, dof (of that of splitting), bias, ess, directions, status (`ok` or
        `refused`) and message.

    Raises:
        InputError: a wrong value, no localizer, or a score of 0.
    """
    chosen = Settings.build(settings, "settings").replace(distinct_actions=None)
    if not keeps or not all(0 <= keep < 1 for keep in keeps):
        raise InputError.of("keeps", keeps, "shares from 0 to below 1")
    if particles < LEAST_PARTICLES:
        raise InputError.of("particles", particles, f"at least {LEAST_PARTICLES}")
    target = prepare_target(policy, states, chosen.replace(nbeta=1.0), loss, seed)
    if not target.localization:
        raise InputError.of("localization", 0, "above 0: volumes are shares of the localizer's")
    flat, width = target.flat, target.width
    module = flat.load(flat.w_star)
    value = score(module)
    at_center = float(value.detach())
    if not math.isfinite(at_center) or at_center == 0:
        raise InputError.of("score", at_center, "a finite number other than 0 at w*")
    params = [p for p in module.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(value, params, materialize_grads=True, allow_unused=True)
    slope = torch.cat([g.reshape(-1) for g in slopes]) / at_center

    def relative(w: Tensor) -> float:
        with torch.no_grad():
            return float(score(flat.load(w))) / at_center

    generator = generator_for(seed, LINEAR_STREAM, target.device)
    bent = _bent(lambda x: relative(flat.w_star + x) - 1, width, slope, generator)
    rows = []
    t = Preconditioner(flat.w_star.new_tensor(width), flat.w_star.new_empty(target.dim, 0),
                       flat.w_star.new_empty(0))  # fmt: skip

    def kept(keep: float) -> Callable[[np.ndarray], np.ndarray]:
        # Of the change of the relative score, which is 0 at w*.
        return lambda change: np.where(1 + change > keep, 0.0, -np.inf)

    rays = rays_of(
        flat.w_star, target.localization, lambda w: relative(w) - 1, t, directions,
        generator_for(seed, RAYS_STREAM, target.device), kept(min(keeps)),
    )  # fmt: skip
    for keep in keeps:
        linear = refused(bent)
        if not bent:
            reach = (1 - keep) / (width * float(slope.double().norm()))
            linear = Share(-float(norm.logcdf(reach)), 0.0)
        found = {
            "splitting": _split(lambda x: relative(flat.w_star + width * x), keep, flat.w_star,
                                particles, seed),
            "gaussian": linear,
            "rays": _at_least(rays.share(kept(keep))),
        }  # fmt: skip
        rows += [
            {"keep": keep, "method": method, "score": at_center,
             "localization": target.localization} | share_columns(share)
            for method, share in found.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _bent(
    change: Callable[[Tensor], float], width: float, slope: Tensor, generator: Generator
) -> str:
    """Why a score cannot be taken as linear over the localizer; empty where it can.

    Args:
        change: of the score, by the weights less w* `[d]`.
        width: of the localizer.
        slope: of the score at w* `[d]`.
        generator: of the weights that are tried.
    """
    missed = total = 0.0
    for _ in range(LINEAR_DRAWS):
        x = torch.empty_like(slope).normal_(generator=generator).mul_(width)
        found = change(x)
        missed += (found - float(slope @ x)) ** 2
        total += found**2
    explained = 1 - missed / total if total else 0.0
    if explained >= LEAST_LINEAR:
        return ""
    return (
        f"the slope at w* explains {max(explained, 0.0):.0%} of the score's mean square change "
        f"over the localizer; it takes {LEAST_LINEAR:.0%}"
    )


def _at_least(share: Share) -> Share:
    """The share, with the error that so many rays leave where all keep the goal."""
    if share.message:
        return share
    return replace(share, stderr=math.hypot(share.stderr, 1 / share.directions))


def _split(
    score: Callable[[Tensor], float], keep: float, like: Tensor, particles: int, seed: int
) -> Share:
    """`-log P(score > keep)` by populations of their own, refused where one comes to no end."""
    found, accepted = zip(
        *(
            log_probability(
                score, keep, like, particles,
                generator_for(seed, SPLITTING_STREAM + k, like.device),
            )
            for k in range(POPULATIONS)
        ),
        strict=True,
    )  # fmt: skip
    shares = np.exp(np.array(found))
    message = ""
    if not shares.all():
        message = "a population came to no end: the score never rose so far"
    elif np.nanmin([1.0, *accepted]) < LEAST_ACCEPT:
        message = f"fewer than {LEAST_ACCEPT:.0%} of moves were accepted: particles are copies"
    elif shares.std(ddof=1) > shares.mean():
        message = "populations differ by more than their mean"
    if message:
        return refused(message)
    relative = shares.std(ddof=1) / shares.mean() / math.sqrt(POPULATIONS)
    # Where every particle keeps the goal, one of the next might not.
    stderr = math.hypot(relative, 1 / (POPULATIONS * particles))
    return Share(abs(math.log(shares.mean())), stderr, dof=POPULATIONS - 1)


def share_columns(share: Share) -> dict[str, object]:
    """Columns of a share in a table of volumes."""
    return {
        "minus_log_share": share.value, "minus_log_share_stderr": share.stderr,
        "dof": share.dof,
        "bias": share.bias, "ess": share.ess, "directions": share.directions,
        "status": "refused" if share.message else "ok", "message": share.message,
    }  # fmt: skip
