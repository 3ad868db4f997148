"""Whether w* can be a minimum of its loss, by what is known exactly there."""

from __future__ import annotations

import math

import torch

from rl_slt.posterior.build import BOUND_STREAM, generator_for
from rl_slt.posterior.target import Target
from rl_slt.samplers.adaptation import precondition
from rl_slt.samplers.base import normal
from rl_slt.samplers.chains import Chains
from rl_slt.verdict.diagnostics import TAKEN_FAILED, far_above

CRITICAL = 0.01  # widths of the localizer that the gradient moves the posterior at most
ROUNDS = 8  # of draws of all chains


def above_minimum(target: Target, gradient_norm: float) -> float:
    """`nbeta (L(w*) - minimum)`: how far w* lies above the loss's least value.

    NaN of a loss of data, whose noise or whose reference may keep a network from it; of one of the
    whole process where it is not known; and at a critical point, which may be the least that a
    network can do, with less than the best policy: there the gradient shifts the posterior by
    `nbeta |grad| / gamma`, or less where the loss is curved, which is next to nothing in widths
    `gamma^(-1/2)` of the localizer. Chains held orthogonally to the gradient have one at w*, too.

    Args:
        target: the posterior.
        gradient_norm: of the loss at w*, over all data.
    """
    critical = target.nbeta * gradient_norm * target.width < CRITICAL
    if critical or target.direction is not None or not target.loss.population:
        return math.nan
    return target.nbeta * (float(target.center_losses.double().mean()) - target.loss.minimum)


def largest_llc(chains: Chains, seed: int) -> float:
    """What the LLC cannot exceed, before a chain has run; infinite where no bound is known.

    With p_0 the localizer, `F(b) = -log E_p0 exp(-b (L - L(w*)))` is concave in b and 0 at 0, so
    that the LLC, `nbeta F'(nbeta)`, is at most F(nbeta); and that is at most

        nbeta E_q[L - L(w*)] + KL(q || p_0)

    for every q (Donsker & Varadhan 1975). q is the Gaussian of the loss's curvature, which would
    precondition the chains; its mean is of 8 draws for each chain, 3 standard errors added.

    Args:
        chains: on the posterior.
        seed: of the draws.
    """
    target, count = chains.target, len(chains.generators)
    if target.localization == 0 or target.loss.redrawn or chains.state is not None:
        return math.inf
    generators = [generator_for(seed, BOUND_STREAM + c, target.device) for c in range(count)]
    zero, rises = target.flat.w_star.new_zeros(count, target.dim), []
    precondition(target, zero, chains.rank or 0, generators)
    assert target.preconditioner is not None
    shrink = target.preconditioner.shrink.double()
    for _ in range(ROUNDS):
        found = target.evaluate(normal(zero, generators), [None] * count, generators)
        rises.append(target.nbeta * (found.loss - found.loss_at_center).double())
    target.preconditioner = None
    rise = torch.cat(rises)
    divergence = 0.5 * float((shrink**2 - 1 - 2 * shrink.log()).sum())
    return float(rise.mean() + 3 * rise.std() / len(rise) ** 0.5) + divergence


def refusal(above: float, largest: float, hint: str) -> str:
    """Why there is no LLC whatever chains would find; empty where they have to tell.

    Args:
        above: of `above_minimum`.
        largest: of `largest_llc`.
        hint: what the loss says to do where w* is no minimum of it.
    """
    if not above > TAKEN_FAILED * (max(largest, 0.0) + above):
        return ""
    return f"w* is no minimum of the loss, {far_above(above)}{': ' * bool(hint)}{hint}"
