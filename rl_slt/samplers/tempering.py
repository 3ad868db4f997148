"""Replica exchange: one posterior at many temperatures at once, from the prior to the coldest.

    p_k(w) ~ exp(-nbeta_k L(w) - |w|^2 / (2 sd^2)),    0 = nbeta_0 < nbeta_1 < ... < nbeta_K

Each rung k is sampled by Hamiltonian Monte Carlo, and after every trajectory neighbors exchange
their weights with probability `min(1, exp((nbeta_k - nbeta_j) (L(w_k) - L(w_j))))`, even and odd
pairs in turn (Swendsen & Wang 1986; Earl & Deem 2005, arXiv physics/0508111). What is cold thereby
comes from the prior again and again, where there is no barrier. Several ladders run independently,
from weights of the prior, and their agreement tells whether they mixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from arviz_stats.base import array_stats
from numpy.typing import NDArray
from torch import Generator, Tensor

from rl_slt.errors import InputError
from rl_slt.verdict.diagnostics import AXES, RHAT_SUSPECT, mean_stderr

LossAndGrad = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Weights `[R, d]` to losses `[R]` and gradients `[R, d]`."""
WANTED, GAIN = 0.8, 0.1  # acceptance of trajectories, and how fast steps follow it in burn-in
LEAST_TRIPS = 2  # of each ladder, on the average


@dataclass(frozen=True, eq=False)
class Ladders:
    """Draws of C independent ladders of K + 1 rungs.

    Attributes:
        nbetas: of the rungs `[K + 1]`.
        loss: `[C, K + 1, T]`.
        observed: what `observe` says of each draw, `[C, K + 1, T]`.
        accept: mean acceptance of trajectories at each rung `[K + 1]`.
        exchanged: mean acceptance of exchanges between neighbors `[K]`.
        trips: how often a replica came from the prior to each rung, `[C, K + 1]`.
    """

    nbetas: tuple[float, ...]
    loss: NDArray[np.float64]
    observed: NDArray[np.float64]
    accept: NDArray[np.float64]
    exchanged: NDArray[np.float64]
    trips: NDArray[np.int64]

    def mean(self, rung: int, values: NDArray[np.float64] | None = None) -> Mean:
        """Mean over draws of a rung, its error, and whether that can be believed.

        Args:
            rung: number of it.
            values: `[C, T]` of that rung; None is what was observed.
        """
        of = self.observed[:, rung] if values is None else values
        came = float(self.trips[:, rung].mean()) >= LEAST_TRIPS
        if of.std() == 0:  # alike in all ladders: only the way from the prior tells of mixing
            return Mean(float(of.mean()), 0.0, 1.0, came)
        rhat = float(array_stats.rhat(of, method="rank", **AXES))
        return Mean(float(of.mean()), mean_stderr(of), rhat, came and rhat <= RHAT_SUSPECT)


@dataclass(frozen=True)
class Mean:
    """A posterior mean with its standard error, R-hat over ladders, and whether these mixed."""

    value: float
    stderr: float
    rhat: float
    mixed: bool


def temper(
    loss: LossAndGrad,
    dim: int,
    nbetas: Sequence[float],
    *,
    prior_sd: float = 1.0,
    ladders: int = 4,
    draws: int = 400,
    burn_in: int = 200,
    leapfrog: int = 8,
    seed: int = 0,
    observe: Callable[[Tensor], Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] | None = None,
) -> Ladders:
    """Sample a posterior with a Gaussian prior around 0 at all temperatures together.

    Args:
        loss: of weights `[R, d]`, all replicas at once.
        dim: d.
        nbetas: rising, from 0 on.
        prior_sd: standard deviation of each weight in the prior.
        ladders: C, at least 2.
        draws: kept of each rung, one after each trajectory and exchange.
        burn_in: trajectories before, in which each rung's step is adapted.
        leapfrog: mean number of steps in a trajectory.
        seed: of everything random.
        observe: of weights `[R, d]`, a number each `[R]`; None is the loss.
        dtype: of the weights.
        progress: called with (trajectories done, in all).

    Raises:
        InputError: nbetas that do not rise from 0.
    """
    if len(nbetas) < 2 or nbetas[0] != 0 or any(b <= a for a, b in pairwise(nbetas)):
        raise InputError.of("nbetas", list(nbetas), "rising, from 0 on")
    generator, rungs = Generator().manual_seed(seed), len(nbetas)
    beta = torch.tensor(nbetas, dtype=torch.float64)
    where = beta.to(dtype).repeat(ladders)[:, None]  # replicas lie ladder by ladder

    def energy(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, grads = loss(w)
        own = where[:, 0].double() * values.double() + w.double().square().sum(1) / 2 / prior_sd**2
        return values.double(), own, where * grads + w / prior_sd**2

    w = prior_sd * torch.randn(ladders * rungs, dim, generator=generator, dtype=dtype)
    values, own, grads = energy(w)
    log_step = torch.full((rungs,), math.log(0.3 * prior_sd / dim**0.25))
    kept: dict[str, list[Tensor]] = {"loss": [], "observed": []}
    accepted, exchanged = torch.zeros(rungs), torch.zeros(rungs - 1)
    # Of each replica, the rungs that it did not come to since it was at the prior.
    ahead = torch.zeros(ladders * rungs, rungs, dtype=torch.bool)
    trips = torch.zeros(ladders, rungs, dtype=torch.int64)
    for t in range(burn_in + draws):
        jitter = torch.rand(len(w), 1, generator=generator) * 0.6 + 0.4
        step = (log_step.exp().repeat(ladders)[:, None] * jitter).to(dtype)
        velocity = torch.randn(w.shape, generator=generator, dtype=dtype)
        before = own + velocity.double().square().sum(1) / 2
        at, slope = w, grads
        for _ in range(int(torch.randint(1, 2 * leapfrog, (), generator=generator))):
            velocity = velocity - step / 2 * slope
            at = at + step * velocity
            new_values, new_own, slope = energy(at)
            velocity = velocity - step / 2 * slope
        gain = before - new_own - velocity.double().square().sum(1) / 2
        rate = gain.nan_to_num(-torch.inf).clamp(max=0).exp()
        take = torch.rand(len(w), generator=generator) < rate
        w, grads = torch.where(take[:, None], at, w), torch.where(take[:, None], slope, grads)
        values = torch.where(take, new_values, values)
        if t < burn_in:
            each = rate.view(ladders, rungs).mean(0).float()
            log_step += (GAIN if t > burn_in // 4 else 3 * GAIN) * (each - WANTED)
        # Exchange: order[c, k] is the rung that comes to rung k.
        losses, order = values.view(ladders, rungs), torch.arange(rungs).repeat(ladders, 1)
        low = torch.arange(t % 2, rungs - 1, 2)
        chance = ((beta[low + 1] - beta[low]) * (losses[:, low + 1] - losses[:, low])).clamp(max=0)
        swap = torch.rand(chance.shape, generator=generator) < chance.exp()
        order[:, low], order[:, low + 1] = low + swap.long(), low + 1 - swap.long()
        index = (order + rungs * torch.arange(ladders)[:, None]).view(-1)
        w, ahead = w[index], ahead[index]
        values, own, grads = energy(w)
        if t >= burn_in:
            ahead[::rungs] = True
            here = ahead.view(ladders, rungs, rungs).diagonal(dim1=1, dim2=2)
            trips += here
            here.fill_(False)
            accepted += rate.view(ladders, rungs).mean(0).float() / draws
            exchanged[low] += 2 * swap.float().mean(0) / draws
            kept["loss"].append(values.view(ladders, rungs))
            seen = values if observe is None else observe(w)
            kept["observed"].append(seen.view(ladders, rungs))
        if progress is not None:
            progress(t + 1, burn_in + draws)
    stacked = {name: torch.stack(rows, -1).double().numpy() for name, rows in kept.items()}
    return Ladders(
        tuple(nbetas), stacked["loss"], stacked["observed"], accepted.numpy(), exchanged.numpy(),
        trips.numpy(),
    )  # fmt: skip
