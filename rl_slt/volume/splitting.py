"""Multilevel splitting: the probability that a standard normal vector is where a score is high.

The threshold rises in steps, each such that a share of the particles is above it; these are copied
in the place of the others, and all are moved by steps that keep the normal distribution above the
threshold reached (Kahn & Harris 1951; Au & Beck 2001, subset simulation, with the moves
`x <- sqrt(1 - b^2) x + b xi`). No gradient is needed and no dimension is too large; the product
of the shares is the probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

KEPT, MOVES, MOST_LEVELS = 0.25, 5, 60
FIRST_STEP, ACCEPT = 0.5, 0.3


def log_probability(
    score: Callable[[Tensor], float],
    threshold: float,
    like: Tensor,
    particles: int,
    generator: Generator,
) -> tuple[float, float]:
    """`log P(score(x) > threshold)`, x standard normal, from one population.

    Args:
        score: of a vector `[d]`.
        threshold: of the score.
        like: a vector `[d]`, for its size, type and device.
        particles: in the population.
        generator: of everything random.

    Returns:
        The logarithm and the share of moves accepted at the last level (NaN without any); -inf
        where not even `MOST_LEVELS` levels lead there, or no particle moves any more.
    """
    x = like.expand(particles, -1).clone().normal_(generator=generator)
    scores = np.array([score(row) for row in x])
    log_p, step, accepted = 0.0, FIRST_STEP, math.nan
    keep = max(1, round(KEPT * particles))
    for _ in range(MOST_LEVELS):
        level = min(threshold, float(np.partition(scores, -keep - 1)[-keep - 1]))
        above = np.flatnonzero(scores > level)
        if not len(above):  # ties
            return -math.inf, accepted
        log_p += math.log(len(above) / particles)
        if level >= threshold:
            return log_p, accepted
        pick = above[np.arange(particles) % len(above)]
        x, scores = x[torch.from_numpy(pick)], scores[pick]
        for _ in range(MOVES):
            proposal = math.sqrt(1 - step**2) * x + step * torch.empty_like(x).normal_(
                generator=generator
            )
            new = np.array([score(row) for row in proposal])
            moved = new > level
            x[torch.from_numpy(moved)] = proposal[torch.from_numpy(moved)]
            scores = np.where(moved, new, scores)
            accepted = float(moved.mean())
            step = min(1.0, step * math.exp(accepted - ACCEPT))
        if not accepted:
            return -math.inf, accepted
    return -math.inf, accepted
