"""The sampling error of an estimate over states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_slt.posterior.target import Target

STATES = 400


def states_stderr(target: Target, snapshots: Sequence[Tensor], seed: int) -> float | None:
    """Standard error of the estimate over resampled states (infinitesimal jackknife).

    Giving state i a little more weight changes `nbeta E[L - L(w*)]` by
    `nbeta E[l_i - l_i(w*)] - nbeta^2 Cov(L, l_i)` (the second term because the posterior itself
    moves), l_i being its loss; the variance of that over states, divided by N, is the data's
    variance. Draws are split in two halves whose covariance over states is used, so that the
    noise of few draws does not count as variance of the data. States of one episode count as one.

    Args:
        target: the posterior.
        snapshots: weights minus w*, `[C, d]` each.
        seed: of the states looked at, where there are more than 400.

    Returns:
        The standard error (0 where the draws cannot tell it from none), or None with too few
        snapshots or a loss per episode or redrawn.
    """
    if len(snapshots) < 4 or target.loss.redrawn or target.loss.sample_unit != "state":
        return None
    index = torch.arange(target.n)
    if target.n > STATES:
        generator = torch.Generator().manual_seed(seed)
        index = torch.randperm(target.n, generator=generator)[:STATES]
    index = index.to(target.device)
    batch = target.samples.take(index)
    modules = (target.flat.load(target.flat.w_star + w) for kept in snapshots for w in kept)
    parts = list(batch.chunks(512))
    rows = torch.stack([torch.cat([target.losses(m, part) for part in parts]) for m in modules])
    excess = (rows.double() - target.center_losses[index].double()).cpu().numpy()
    half = len(excess) // 2
    influence = [_influence(part, target.nbeta) for part in (excess[:half], excess[half:])]
    if batch.episode is not None:
        _, where = np.unique(batch.episode.cpu().numpy(), return_inverse=True)
        sums = [np.bincount(where, weights=part) for part in influence]
        # Scaled so that their mean square is that of independent samples.
        influence = [part * np.sqrt(len(part) / len(where)) for part in sums]
    variance = float(np.mean(influence[0] * influence[1])) * len(influence[0])
    share = len(influence[0]) * (target.n / len(index))
    return float(np.sqrt(max(variance, 0.0) / len(influence[0]) / share))


def _influence(excess: NDArray[np.float64], nbeta: float) -> NDArray[np.float64]:
    """Centered influence of each state, from draws `[M, B]` of its excess loss."""
    total = excess.mean(axis=1)
    moved = ((total - total.mean())[:, None] * (excess - excess.mean(axis=0))).sum(axis=0)
    value = nbeta * excess.mean(axis=0) - nbeta**2 * moved / (len(excess) - 1)
    return np.asarray(value - value.mean())
