"""Standard errors over clusters of samples: states of one episode are alike."""

from __future__ import annotations

import math

from torch import Tensor


def cluster_sums(values: Tensor, clusters: Tensor, count: int) -> Tensor:
    """Sums `[count]` of values `[n]` over the members of each cluster, numbered `[n]` from 0."""
    return values.new_zeros(count).index_add_(0, clusters.to(values.device), values)


def cluster_stderr(values: Tensor, clusters: Tensor) -> float:
    """Standard error of the mean of values `[n]` over resampled clusters.

    `G / (G - 1) sum_g S_g^2` is the variance, `S_g = 1/n sum_(i in g) (v_i - mean v)`, for G
    clusters of different sizes (Cameron & Miller 2015, section II); NaN with fewer than two.
    """
    count = int(clusters.max()) + 1
    if count < 2:
        return math.nan
    values = values.double()
    sums = cluster_sums((values - values.mean()) / len(values), clusters, count)
    return math.sqrt(count / (count - 1) * float(sums.square().sum()))
