"""`local_volume`: the share of the localizer's mass that keeps a policy, by three methods.

`F(nbeta) = -log E_localizer[exp(-nbeta (L - L(w*)))]`, the free energy, is the share of weights
whose loss is up to about `1 / nbeta`; `-log P_localizer(L - L(w*) <= c)` counts those up to a
cutoff c (Scherlis & Belrose 2025, arXiv 2501.18812). One gives the other (Esscher's tilting): with
nbeta such that c is the posterior's mean of L - L(w*), and X the posterior's nbeta (L - L(w*)),

    -log P(L - L(w*) <= c) = F - log E[exp(X); X <= LLC],

X of mean LLC and variance `LLC - d LLC / d log nbeta`, and taken to be Gamma distributed: it is in
a quadratic loss whose directions are each either stiff or flat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import brentq
from scipy.special import gammaln, hyp1f1
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.estimate import Center, center_of, prepare_target
from rl_slt.losses.base import LossFunction
from rl_slt.posterior.build import generator_for
from rl_slt.posterior.curvature import count_rows, every_row, hessian_products, row_gradients
from rl_slt.posterior.spectrum import DENSE
from rl_slt.posterior.target import Preconditioner, Target
from rl_slt.profile import profile_with
from rl_slt.samplers.adaptation import precondition
from rl_slt.samplers.chains import Progress
from rl_slt.settings import PROFILE, Settings
from rl_slt.threads import one_thread
from rl_slt.volume.rays import Array, Share, rays_of, refused

RAYS_STREAM, ROWS_STREAM = 1_000_091, 1_000_093
RANK, CHAINS = 128, 4
LEAST_DIRECTIONS = 64
MOST_STDERR = 0.5  # of a free energy by integration, as a share of it


def local_volume(
    policy: nn.Module,
    states: Tensor | PolicyData,
    nbetas: Sequence[float | str] = PROFILE,
    *,
    loss: LossFunction | None = None,
    directions: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Free energy and local volume of a policy at several resolutions, by three methods.

    `integration` of the LLC over log nbeta (`llc_profile`), `gaussian` from the spectrum at w*,
    and importance sampling along `rays` (`rl_slt.volume.rays`). The cutoff of a resolution is the
    posterior's mean KL there, so that the three are of the same region.

    Args:
        policy: as in `estimate_llc`.
        states: as in `estimate_llc`.
        nbetas: as in `llc_profile`.
        loss: as in `estimate_llc`; one that is fixed, so no loss that redraws or plays.
        directions: rays at each resolution, 64 at least.
        seed: as in `estimate_llc`.
        progress: of the chains, as in `llc_profile`.
        settings: all others of `estimate_llc` but nbeta.

    Returns:
        A row for each resolution and method: nbeta, localization, relative_temperature, cutoff
        (nats for a KL), method, free_energy and minus_log_share (both -log of a share, nats; NaN
        where they have no support) with their errors `_stderr`; of rays `bias`, by how much the
        free energy is too large, `ess`, effective directions, and `directions`; `status` (`ok`,
        `suspect` where the LLC there or at a lower one is, or `refused`) and `message`.

    Raises:
        InputError: a wrong value, named in one line.

    Example:
        >>> local_volume(policy, states, localization=300.0).pivot(
        ...     index="nbeta", columns="method", values="free_energy")
    """
    chosen = Settings.build(settings, "settings")
    _, profile = profile_with(policy, states, chosen, nbetas, loss, seed=seed, progress=progress)
    return volumes(policy, states, profile, chosen, loss, directions=directions, seed=seed)


@one_thread()
def volumes(
    policy: nn.Module,
    states: Tensor | PolicyData,
    profile: pd.DataFrame,
    settings: Settings,
    loss: LossFunction | None = None,
    *,
    directions: int = 256,
    seed: int = 0,
) -> pd.DataFrame:
    """`local_volume` of a policy whose profile is known.

    Args:
        policy: as there.
        states: as there.
        profile: of `llc_profile` with these settings.
        settings: all of `estimate_llc`; nbeta is that of the profile.
        loss: as there.
        directions: as there.
        seed: as there.

    Raises:
        InputError: a wrong value, named in one line.
    """
    if directions < LEAST_DIRECTIONS:
        raise InputError.of("directions", directions, f"at least {LEAST_DIRECTIONS}")
    target = prepare_target(policy, states, settings.replace(nbeta=1.0), loss, seed)
    if not target.localization:
        raise InputError.of("localization", 0, "above 0: volumes are shares of the localizer's")
    if target.loss.redrawn or target.loss.plays:
        raise InputError.of("loss", target.loss.name, "fixed, as kl, for a volume")
    center = center_of(target, settings, seed, of_hessian=True)
    rows, unsound = [], ""  # an integral is as sound as the least of its estimates
    for row in profile.sort_values("nbeta").to_dict("records"):
        if row["status"] != "ok" and not unsound:
            unsound = f"at nbeta {row['nbeta']:.3g}: {row['message']}"
        nbeta = target.nbeta = float(row["nbeta"])
        cutoff = float(row["llc"]) / nbeta
        found = {
            "integration": _integrated(row),
            "gaussian": _gaussian(center, nbeta, target.localization, cutoff),
            "rays": by_rays(target, cutoff, directions, seed),
        }
        for method, (free, share) in found.items():
            own = {"status": "ok", "message": ""}
            if free.message:
                own = {"status": "refused", "message": free.message}
            elif method == "integration" and unsound:
                own = {"status": "suspect", "message": unsound}
            rows.append({
                **{name: row[name] for name in ("nbeta", "localization", "relative_temperature")},
                "cutoff": cutoff, "method": method,
                "free_energy": free.value, "free_energy_stderr": free.stderr,
                "minus_log_share": share.value, "minus_log_share_stderr": share.stderr,
                "bias": free.bias, "ess": free.ess, "directions": free.directions, **own,
            })  # fmt: skip
    return pd.DataFrame(rows)


def excess_of(target: Target) -> Callable[[Tensor], float]:
    """`L - L(w*)` over all data as a function of weights `[d]`."""
    parts = [
        target.samples.take(i) for i in torch.arange(target.n, device=target.device).split(512)
    ]
    at_center = float(target.center_losses.double().mean())

    def excess(w: Tensor) -> float:
        module = target.flat.load(w)
        total = sum(float(target.losses(module, part).double().sum()) for part in parts)
        return total / target.n - at_center

    return excess


def by_rays(target: Target, cutoff: float, directions: int, seed: int) -> tuple[Share, Share]:
    """Free energy and volume by rays, preconditioned for the target's nbeta by the curvature.

    Args:
        target: at its nbeta.
        cutoff: of the excess loss; NaN where there is none.
        directions: rays.
        seed: of the directions.
    """
    generator, nbeta = generator_for(seed, RAYS_STREAM, target.device), target.nbeta

    def tempered(loss: Array) -> Array:
        return -nbeta * loss

    rays = rays_of(
        target.flat.w_star, target.localization, excess_of(target),
        preconditioner_at_center(target, seed), directions, generator, tempered,
    )  # fmt: skip
    below = refused("no cutoff: the LLC is not known")
    if math.isfinite(cutoff):
        below = rays.share(lambda loss: np.where(loss <= cutoff, 0.0, -np.inf))
    return rays.share(tempered), below


def preconditioner_at_center(target: Target, seed: int) -> Preconditioner:
    """T of the Gaussian approximation of the posterior at w*: exact where there are few weights.

    Args:
        target: at its nbeta.
        seed: of the rows that stand for the curvature of many weights.
    """
    generators = [generator_for(seed, ROWS_STREAM + k, target.device) for k in range(CHAINS)]
    width = count_rows(target)
    if target.dim > DENSE or (width is None and target.dim**2 > 1 << 20):
        precondition(
            target, torch.zeros(CHAINS, target.dim).to(target.flat.w_star), RANK, generators
        )
        assert target.preconditioner is not None
        return target.preconditioner
    h = _hessian(target, width, generators[0])
    values, basis = torch.linalg.eigh(h)
    shrink = (1 + target.nbeta * values.clamp(min=0) / target.localization) ** -0.5
    w = target.flat.w_star
    return Preconditioner(w.new_tensor(target.width), basis.to(w), shrink.to(w))


def _hessian(target: Target, width: int | None, generator: Generator) -> Tensor:
    """H `[d, d]` of all samples, in double precision; 0 where the loss has no second derivative."""
    if width is not None:
        parts = row_gradients(target, *every_row(target, width))
        return sum((p.double().T @ p.double() for p in parts), start=torch.zeros(())) / target.n
    probes = torch.eye(target.dim, device=target.device).to(target.flat.w_star)
    h = hessian_products(target, probes, generator)
    return torch.zeros_like(probes).double() if h is None else (h + h.T) / 2


def _integrated(row: dict[Any, Any]) -> tuple[Share, Share]:
    """Free energy and volume at a resolution of a profile."""
    llc, slope = row["llc"], row["slope"]
    free = Share(row["free_energy"], row["free_energy_stderr"])
    if not math.isfinite(free.value):
        free = refused(row["message"] or "no LLC at a lower resolution")
    elif not free.stderr < MOST_STDERR * abs(free.value):
        free = refused(f"error {free.stderr:.2g} of {free.value:.3g}: begin at a smaller nbeta")
    v, v_stderr = llc * (1 - slope), llc * row["slope_stderr"]
    if free.message or not v > 0:
        return free, refused(free.message or "the variance of the loss is not known")
    by_llc = (_below(1.01 * llc, v) - _below(0.99 * llc, v)) / (0.02 * llc) * row["llc_stderr"]
    by_v = (_below(llc, 1.01 * v) - _below(llc, 0.99 * v)) / (0.02 * v) * v_stderr
    stderr = math.hypot(free.stderr, by_llc, by_v)
    return free, Share(free.value - _below(llc, v), stderr)


def _gaussian(
    center: Center, nbeta: float, localization: float, cutoff: float
) -> tuple[Share, Share]:
    """Free energy at nbeta and volume at a cutoff of the quadratic loss of this curvature."""
    at = center.free_energy(nbeta, localization)
    if not at.value > 0:
        none = refused("the curvature at w* is 0, or not known")
        return none, none
    free = Share(at.value, at.stderr)

    def half(log_nbeta: float) -> float:
        return center.half_d_eff(math.exp(log_nbeta), localization).value

    def gap(log_nbeta: float) -> float:  # the mean loss falls with nbeta
        return math.log(max(half(log_nbeta), 1e-300)) - log_nbeta - math.log(cutoff)

    x = math.log(nbeta)
    if not cutoff > 0 or not gap(x - 20) > 0 > gap(x + 20):
        return free, refused("no nbeta has the cutoff as its mean loss")
    x = float(brentq(gap, x - 20, x + 20, xtol=1e-6))
    slope = (half(x + 0.01) - half(x - 0.01)) / 0.02
    there = center.free_energy(math.exp(x), localization)
    return free, Share(there.value - _below(half(x), half(x) - slope), there.stderr)


def _below(mean: float, variance: float) -> float:
    """`log E[exp(X); X <= mean]` of a Gamma distributed X."""
    a, scale = mean**2 / variance, variance / mean
    # int_0^m x^(a-1) exp(z x / m) dx = m^a / a 1F1(a; a + 1; z) = m^a / a exp(z) 1F1(1; a + 1; -z)
    z = (1 - 1 / scale) * mean
    rest = z + math.log(float(hyp1f1(1, a + 1, -z)))
    return a * math.log(mean / scale) - math.log(a) - float(gammaln(a)) + rest
