"""KL divergence of a policy from a reference policy: the default loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import Policy, ReferenceLoss, log_softmax, logits_of


@dataclass(frozen=True, eq=False)
class PolicyKL(ReferenceLoss):
    """`KL(pi*(.|s) || pi_w(.|s))` per state, the exact sum over actions, nats.

    With `reference=None`, pi* is the checkpoint itself: w* is then an exact minimum with loss 0,
    so the baseline carries no noise and an estimate is never negative by more than its error.

    Attributes:
        reference: another policy to measure from (a fixed reference), or None for the checkpoint.
    """

    name = "kl"

    @property
    def zero_at_center(self) -> bool:
        """True for the self-KL."""
        return self.reference is None

    @property
    def minimum(self) -> float:
        """0, where the two policies are equal."""
        return 0.0

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats."""
        assert batch.reference_logits is not None
        log_p = log_softmax(batch.reference_logits).contiguous()  # kept by states (`hoist`)
        log_q = log_softmax(logits_of(policy(batch.states)))
        return (log_p.exp() * (log_p - log_q)).sum(-1)
