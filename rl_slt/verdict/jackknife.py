"""The standard error of an estimate that comes from its states being a sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rl_slt.data.clusters import cluster_sums
from rl_slt.posterior.build import STATES_STREAM, generator_for
from rl_slt.posterior.target import Target

STATES = 400  # that each chain looks at


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

    S_g^2 is the mean product of two different chains' values of S_g, each over states of that
    chain's own choice. Chains and choices are independent: neither the noise of few draws nor that
    of few states counts as variance of the data.

    Args:
        target: the posterior.
        snapshots: weights minus w*, `[C, d]` each, over draws.
        seed: of the states that each chain looks at, 400 of more.
        curvature: h_i `[N]`, where nbeta is relative to their mean; None where nbeta is a number.

    Returns:
        The standard error (0 where the draws cannot tell it from none), or None with fewer than 4
        snapshots, fewer than 2 episodes, or a loss per episode.
    """
    clusters = target.samples.clusters
    few = len(snapshots) < 4 or int(clusters.max()) < 1
    if few or target.loss.sample_unit == "episode":
        return None
    sums = []
    for c in range(len(snapshots[0])):
        index = torch.arange(target.n)
        if target.n > STATES:
            generator = generator_for(seed, STATES_STREAM + c)
            index = torch.randperm(target.n, generator=generator)[:STATES]
        index = index.to(target.device)
        influence = _influence(_excess(target, [w[c] for w in snapshots], index), target.nbeta)
        share = torch.ones_like(influence)
        if curvature is not None:
            share = curvature[index] / curvature[index].mean()
        influence = influence - influence.mean() * share
        sums.append(cluster_sums(influence / len(index), clusters[index], int(clusters.max()) + 1))
    of = torch.stack(sums)  # [C, G]
    chains, count = of.shape
    squares = (of.sum(0).square() - of.square().sum(0)) / (chains * (chains - 1))
    return float(squares.sum().clamp(min=0.0) * count / (count - 1)) ** 0.5


def _excess(target: Target, draws: Sequence[Tensor], index: Tensor) -> Tensor:
    """Losses less those at w*, `[M, B]`, at weights minus w* `[d]` each, of the states `index`."""
    loss, flat = target.loss.expected, target.flat
    parts = list(target.samples.take(index).chunks(512))
    rows = torch.stack([
        torch.cat([target.losses(flat.load(w), part, loss) for part in parts])
        for w in (flat.w_star, *(flat.w_star + delta for delta in draws))
    ])  # fmt: skip
    return rows[1:].double() - rows[0].double()


def _influence(excess: Tensor, nbeta: float) -> Tensor:
    """Influence `[B]` of each state at fixed nbeta, from draws `[M, B]` of its excess loss."""
    total = excess.mean(1)
    moved = (total - total.mean()) @ (excess - excess.mean(0)) / (len(excess) - 1)
    return nbeta * excess.mean(0) - nbeta**2 * moved
