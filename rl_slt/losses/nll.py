"""Negative log-likelihood of actions drawn from a reference policy."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.losses.base import (
    Loss,
    Policy,
    ReferenceLoss,
    action_log_probs,
    check_actions,
    draw_actions,
    logits_of,
)
from rl_slt.losses.kl import PolicyKL


@dataclass(frozen=True, eq=False)
class PolicyNLL(ReferenceLoss):
    """`-log pi_w(a|s)` per state, `a ~ pi*(.|s)`, nats.

    Its average over actions is the KL plus the reference's entropy: the same expected gradient
    with more variance. Actions are redrawn for every gradient, so w* stays the minimum; with
    `redraw=False` they are the data's own (or drawn once) and the minimum lies elsewhere.

    Attributes:
        reference: another policy to draw from, or None for the checkpoint itself.
        redraw: draw new actions at each step.
    """

    redraw: bool = True
    name = "nll"

    @property
    def redrawn(self) -> bool:
        """Whether actions are redrawn for every gradient."""
        return self.redraw

    @property
    def expected(self) -> Loss:
        """The KL, less the reference's entropy, where actions are redrawn."""
        return PolicyKL(self.reference) if self.redraw else self

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats."""
        assert batch.actions is not None
        return -action_log_probs(logits_of(policy(batch.states)), batch.actions)

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the reference's logits, and actions drawn from them where needed."""
        data = super().prepare(policy, data, generator)
        logits = data.reference_logits
        assert logits is not None
        if self.redraw or data.actions is None:
            data = data.with_fields(actions=draw_actions(logits, generator))
        check_actions(data, logits)
        return data

    def refresh(self, batch: PolicyData, generator: Generator, policy: Policy) -> PolicyData:
        """New actions from the reference."""
        if not self.redraw:
            return batch
        assert batch.reference_logits is not None
        actions = draw_actions(batch.reference_logits, generator)
        return PolicyData.trusted(batch.tensors() | {"actions": actions})

    def loss_at_center(self, batch: PolicyData) -> Tensor | None:
        """`-log pi*(a|s)` of the drawn actions, `[B]`."""
        if not self.redraw or self.reference is not None:
            return None
        assert batch.reference_logits is not None and batch.actions is not None
        return -action_log_probs(batch.reference_logits, batch.actions)
