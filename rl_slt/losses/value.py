"""Gaussian negative log-likelihood of returns under the value head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy


@dataclass(frozen=True, eq=False)
class Value(Loss):
    """`(V_w(s) - R)^2 / (2 sigma^2)`, nats: R the data's discounted returns.

    It is the negative log-likelihood of returns with Gaussian noise, up to a constant, so it does
    not depend on the unit of reward. sigma^2 is the mean squared residual at w*, unless the data
    hold `returns_sd`: the loss at w* is then 1/2.
    """

    name = "value"
    needs = ("returns",)

    @property
    def minimum(self) -> float:
        """0, where every return is known."""
        return 0.0

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats."""
        assert batch.returns is not None and batch.returns_sd is not None
        return 0.5 * ((_values(policy, batch) - batch.returns) / batch.returns_sd).square()

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the noise of returns, `returns_sd`, from the residuals at w*.

        Raises:
            InputError: returns are absent, the policy has no value head, or that gives every return
                exactly, so that there is no noise to measure errors by.
        """
        data = super().prepare(policy, data, generator)
        if not isinstance(policy(data.states[:1]), tuple):
            raise InputError("the value loss needs a policy that returns (logits, value)")
        if data.returns_sd is not None:
            return data
        assert data.returns is not None
        with torch.no_grad():
            values = torch.cat([_values(policy, part) for part in data.chunks(512)])
        squares = (values - data.returns).double().square()
        sd = float(self.weigh(squares, data).mean().sqrt())
        if not sd > 0:
            hint = "the value head gives every return exactly; give returns_sd"
            raise InputError.of("returns_sd", sd, "above 0", hint)
        return data.with_fields(returns_sd=torch.full_like(values, sd))

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`V_w(s) / sigma` `[B, 1]`: the Gauss-Newton matrix, the Hessian but for the residuals."""
        assert batch.returns_sd is not None
        return (_values(policy, batch) / batch.returns_sd)[:, None]


def _values(policy: Policy, batch: PolicyData) -> Tensor:
    output = policy(batch.states)
    assert isinstance(output, tuple)
    return output[1].reshape(-1)
