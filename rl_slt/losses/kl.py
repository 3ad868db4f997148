"""KL divergence of a policy from a reference policy: the default loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import (
    Loss,
    Policy,
    fisher_score,
    log_softmax,
    logits_of,
    reference_logits,
)


@dataclass(frozen=True, eq=False)
class PolicyKL(Loss):
    """`KL(pi*(.|s) || pi_w(.|s))` per state, the exact sum over actions, nats.

    With `reference=None`, pi* is the checkpoint itself: w* is then an exact minimum with loss 0,
    so the baseline carries no noise and an estimate is never negative by more than its error.

    Attributes:
        reference: another policy to measure from (a fixed reference), or None for the checkpoint.
    """

    reference: nn.Module | None = None
    name = "kl"
    has_reference = True

    @property
    def zero_at_center(self) -> bool:
        """True for the self-KL."""
        return self.reference is None

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats."""
        assert batch.reference_logits is not None
        log_p = log_softmax(batch.reference_logits)
        log_q = log_softmax(logits_of(policy(batch.states)))
        return (log_p.exp() * (log_p - log_q)).sum(-1)

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the reference's logits."""
        return data.with_fields(reference_logits=reference_logits(policy, self.reference, data))

    def score(self, policy: Policy, batch: PolicyData, generator: Generator) -> Tensor:
        """The Fisher score `[B]`: the Hessian of the KL at its minimum is the Fisher matrix."""
        return fisher_score(policy, batch, generator)
