"""How sharp a policy is on some states, and the same policy at another sharpness.

Scaling all logits by one factor keeps the greedy policy and moves the LLC: a sharper policy of the
same preferences has another one. At a matched mean entropy two policies differ in that no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn import functional as F

from rl_slt.data.actions import Classes, merged_logits
from rl_slt.data.policies import MASKED
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import log_softmax, logits_of, policy_logits
from rl_slt.posterior.gauge import TOLERANCE, Gauge
from rl_slt.posterior.target import Target

STATES = 400  # that a posterior mean is over
WIDEST = math.log(1e4)  # logarithm of the largest factor, and of one over the smallest


class Sharpness(NamedTuple):
    """What a policy's distributions over actions are like on N states.

    Attributes:
        entropy: mean over states of `H(pi(.|s))`, nats.
        information: I(S; A), the mean KL of the policy to its own marginal over the states, nats:
            how much its actions say of the state. Near 0 the policy hardly depends on the state.
        logit_scale: root mean square of the logits, each state's own mean taken off; masked
            actions do not count.
    """

    entropy: float
    information: float
    logit_scale: float


def sharpness_of(logits: Tensor) -> Sharpness:
    """The sharpness of a policy with logits `[N, A]`, or `[N, S, A]` of levels, each state equally.

    NaN of outputs in another form.
    """
    logits = logits.flatten(0, -2) if logits.ndim == 3 else logits
    if logits.ndim != 2 or not bool(torch.isfinite(logits).all()):
        return Sharpness(math.nan, math.nan, math.nan)
    p = log_softmax(logits.double()).exp()
    entropy = float(_entropies(p).mean())
    information = float(_entropies(p.mean(0))) - entropy
    mean = torch.Tensor.mean
    if bool((logits <= MASKED).any()):
        logits, mean = logits.where(logits > MASKED, torch.nan), torch.Tensor.nanmean
    scale = float(mean((logits - mean(logits, 1, keepdim=True)).double().square()).sqrt())
    return Sharpness(entropy, max(0.0, information), scale)


def at_entropy(
    policy: nn.Module, data: PolicyData, classes: Classes | None, entropy: float
) -> nn.Module:
    """A policy with all logits scaled by one factor, through its last layer, to a mean entropy.

    Args:
        policy: in evaluation mode; left as it is.
        data: the states that the mean is over.
        classes: of actions that count as one in the entropy; None keeps all apart.
        entropy: nats.

    Raises:
        InputError: no factor from 1e-4 to 1e4 gives that entropy, or the last layer has no
            weights through which all logits can be scaled.
    """
    logits = policy_logits(policy, data).double()

    def mean(log_factor: float) -> float:
        scaled = logits.where(logits <= MASKED, math.exp(log_factor) * logits)
        scaled = scaled if classes is None else merged_logits(scaled, classes)
        return float(_entropies(log_softmax(scaled).exp()).mean())

    most, least = mean(-WIDEST), mean(WIDEST)
    if not least < entropy < most:
        allowed = f"between {least:.3g} and {most:.3g} nats, which scaled logits can reach"
        raise InputError.of("match_entropy", entropy, allowed)
    factor = math.exp(brentq(lambda x: mean(x) - entropy, -WIDEST, WIDEST, xtol=1e-10))
    few, names = data.states[:4], [name for name, _ in policy.named_parameters()]
    scaled = Gauge(policy, few, names).with_logits(policy, factor)
    with torch.no_grad():
        given, found = logits_of(policy(few)), logits_of(scaled(few))
    wanted = given.where(given <= MASKED, factor * given)
    close = TOLERANCE * float(wanted[given > MASKED].abs().max())
    if not torch.allclose(wanted, found, rtol=TOLERANCE, atol=close):
        hint = "the logits of this policy cannot be scaled through its last layer"
        raise InputError.of("match_entropy", entropy, "none", hint)
    return scaled


@torch.no_grad()
def posterior_kl(target: Target, snapshots: Sequence[Tensor]) -> float:
    """Posterior mean of `KL(pi_w* || pi_w)` per state, nats; NaN where there are no logits.

    Args:
        target: the posterior.
        snapshots: weights minus w*, `[C, d]` each.
    """
    logits = target.center_logits
    if logits.ndim not in (2, 3) or not snapshots:
        return math.nan
    index = torch.linspace(0, len(logits) - 1, min(STATES, len(logits)), device=target.device)
    states, log_p = target.data.take(index.long()), log_softmax(logits[index.long()].double())
    weights = log_p.new_ones(len(states)) if states.weights is None else states.weights.double()
    each = []
    for delta in (row for snapshot in snapshots for row in snapshot):
        moved = policy_logits(target.flat.load(target.flat.w_star + delta), states)
        log_q = log_softmax(moved.double())
        kl = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
        each.append(float(kl.view(len(states), -1).mean(1) @ weights / weights.sum()))
    return float(np.mean(each))


def _entropies(p: Tensor) -> Tensor:
    """Entropy `[...]` of distributions `[..., A]`, nats."""
    return torch.special.entr(p).sum(-1)
