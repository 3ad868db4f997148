"""Squared error of the value head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy


@dataclass(frozen=True, eq=False)
class Value(Loss):
    """`(V_w(s) - R)^2`, R the data's discounted returns, in squared units of reward."""

    name = "value"
    needs = ("returns",)

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        assert batch.returns is not None
        output = policy(batch.states)
        assert isinstance(output, tuple)
        return (output[1].reshape(-1) - batch.returns).square()

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """The data as they are.

        Raises:
            InputError: returns are absent, or the policy has no value head.
        """
        data = super().prepare(policy, data, generator)
        if not isinstance(policy(data.states[:1]), tuple):
            raise InputError("the value loss needs a policy that returns (logits, value)")
        return data

    def score(self, policy: Policy, batch: PolicyData, generator: Generator) -> Tensor:
        """`sqrt(2) V_w(s)`: the loss's curvature is twice the outer product of V's gradient."""
        output = policy(batch.states)
        return 2**0.5 * output[1].reshape(-1)
