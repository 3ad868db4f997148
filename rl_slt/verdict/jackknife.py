"""The standard error of an estimate that comes from its states being a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from rl_slt.data.clusters import cluster_sums
from rl_slt.posterior.build import STATES_STREAM, generator_for
from rl_slt.posterior.target import Target

STATES, DRAWS = 800, 12  # that are looked at, or few more: whole episodes; of each chain


def states_stderr(
    target: Target, snapshots: Sequence[Tensor], seed: int, curvature: Tensor | None = None
) -> float | None:
    """Standard error of the LLC over resampled episodes (infinitesimal jackknife).

    Giving state i a little more weight changes the LLC `nbeta E[L - L(w*)]` by its influence

        I_i = nbeta E[l_i - l_i(w*)] - nbeta^2 Cov(L, l_i),

    with l_i its loss; the second term because the posterior itself moves. Their mean is the slope
    dLLC / dlog nbeta. Where nbeta is set relative to the trace of the curvature (h_i of state i,
    mean h), it moves with the states by `-(h_i - h) / h` and the influence is

        I_i - (mean I) h_i / h.

    States of one episode are alike, so that the variance is that of sums over the G episodes,

        Var = G / (G - 1) sum_g S_g^2,    S_g = 1/N sum_(i in g) (I_i - mean I)

    (Efron 1982, section 6.3, for independent states; Cameron & Miller 2015, section II, for
    clusters). **Where the data tell no `episode`, states count as independent**: too small an error
    for states of trajectories (`benchmarks/results/llc_states.md`). Terms of order 1 / G are left
    out: with 30 episodes of a quadratic loss the error is a tenth too small.

    S_g^2 is the mean product of two different chains' values of S_g, so that the noise of few draws
    does not count as variance of the data (`_unseen` says what is told where that leaves nothing).
    The sum is over some of the episodes, the same ones in all chains, and scaled by their share of
    the states.

    Args:
        target: the posterior.
        snapshots: weights minus w*, `[C, d]` each, over draws.
        seed: of the episodes that are looked at, of more than 800 states.
        curvature: h_i `[N]`, where nbeta is relative to their mean; None where nbeta is a number.

    Returns:
        The standard error, or None with fewer than 4 snapshots, fewer than 2 episodes, or a loss
        per episode.
    """
    clusters = target.samples.clusters
    few = len(snapshots) < 4 or int(clusters.max()) < 1
    if few or target.loss.sample_unit == "episode":
        return None
    snapshots = snapshots[:: -(-len(snapshots) // DRAWS)]
    index = _some(clusters, seed)
    numbers, of_state = torch.unique(clusters[index], return_inverse=True)
    count, share = len(numbers), None if curvature is None else curvature[index].double()
    sums = []
    for excess in _excess(target, snapshots, index):
        influence = _influence(excess, target.nbeta)
        moved = 1.0 if share is None else share / share.mean()
        influence = influence - influence.mean() * moved
        sums.append(cluster_sums(influence / len(index), of_state, count))
    of = torch.stack(sums)  # [C, G]
    variance = _unseen(np.array((of @ of.T).tolist())) * count / (count - 1)
    return math.sqrt(variance * len(index) / target.n)


def _unseen(products: NDArray[np.float64]) -> float:
    """The mean product of two chains, as an estimate of what cannot be below 0.

    With few draws it may be near 0 or below where it is as large as elsewhere, and an error of 0
    would be told of some in twenty estimates. So it is the mean of a normal law with the product's
    own error (jackknife over chains), cut off below 0: the product itself where that is well above
    its error, some eight tenths of the error where it is 0.

    Args:
        products: `[C, C]`, of each two chains' sums; of fewer than three chains all count, so that
            their noise does.
    """
    chains = len(products)
    if chains < 3:
        return float(products.mean())

    def apart(kept: NDArray[np.float64]) -> float:
        return float((kept.sum() - kept.trace()) / (len(kept) * (len(kept) - 1)))

    value, every = apart(products), range(chains)
    without = [apart(np.delete(np.delete(products, c, 0), c, 1)) for c in every]
    error = math.sqrt((chains - 1) * np.var(without))
    if not error > 0:
        return max(value, 0.0)
    z = value / error
    return value + error * math.exp(norm.logpdf(z) - norm.logcdf(z))


def _some(clusters: Tensor, seed: int) -> Tensor:
    """The states of randomly chosen episodes, all of each, until they are `STATES` or all."""
    sizes = clusters.bincount()
    generator = generator_for(seed, STATES_STREAM)
    order = torch.randperm(len(sizes), generator=generator).to(clusters.device)
    few = int((sizes[order].cumsum(0) < STATES).sum()) + 1
    return torch.isin(clusters, order[: max(few, 2)]).nonzero()[:, 0]


def _excess(target: Target, snapshots: Sequence[Tensor], index: Tensor) -> Tensor:
    """Losses less those at w*, `[C, M, B]`, of some states, at M weights minus w* `[C, d]`."""
    loss, flat = target.loss.expected, target.flat
    parts = list(target.samples.take(index).chunks(512))

    def losses(w: Tensor) -> Tensor:
        module = flat.load(w)
        return torch.cat([target.losses(module, part, loss) for part in parts]).double()

    with torch.inference_mode(target.device.type == "cpu"):  # faster there
        center, chains = losses(flat.w_star), zip(*snapshots, strict=True)
        return torch.stack([
            torch.stack([losses(flat.w_star + delta) for delta in chain]) - center
            for chain in chains
        ])  # fmt: skip


def _influence(excess: Tensor, nbeta: float) -> Tensor:
    """Influence `[B]` of each state at fixed nbeta, from draws `[M, B]` of its excess loss."""
    total = excess.mean(1)
    moved = (total - total.mean()) @ (excess - excess.mean(0)) / (len(excess) - 1)
    return nbeta * excess.mean(0) - nbeta**2 * moved
