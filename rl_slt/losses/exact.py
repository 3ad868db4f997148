"""Losses of a policy's exact return in a known decision process."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.tabular import TabularMDP
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, log_softmax, logits_of


@dataclass(frozen=True, eq=False)
class OfLevels(Loss):
    """A loss of each level's exact return: one row of the data is a level of `mdp`.

    A policy gives logits `[B, S, A]` on rows `[B, S, ...]` of all states of a level. The number of
    levels is no sample size: their weighted mean is the loss itself, without an error. nbeta is
    therefore stated, in units of 1 / reward.

    Attributes:
        mdp: the process; may be None where a loss is only named, as in a plan.
        temperature: tau, reward per nat of entropy; 0 leaves the return alone.

    Raises:
        InputError: the temperature is negative.
    """

    mdp: TabularMDP | None = None
    temperature: float = 0.0
    sample_unit = "level"
    population = True
    options = ("temperature",)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError.of("temperature", self.temperature, "at least 0")

    @property
    def minimum(self) -> float:
        """0."""
        return 0.0

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the levels, and their weights from the process; levels of weight 0 are left out.

        Raises:
            InputError: there is no process, or data and logits are not of its shape.
        """
        if self.mdp is None:
            hint = "the gridworld has one"
            raise InputError.of("mdp", None, f"a TabularMDP for the loss {self.name}", hint)
        level = torch.arange(len(data), device=data.states.device)
        if data.level is not None:
            level = data.level.long()
        low, high, levels = int(level.min()), int(level.max()), self.mdp.n_levels
        if data.level is None and len(data) != levels:
            allowed = f"{levels}, one for each level of the process"
            raise InputError.of("number of samples", len(data), allowed)
        if low < 0 or high >= levels:
            wrong = low if low < 0 else high
            raise InputError.of("level", wrong, f"from 0 to {levels - 1}")
        with torch.no_grad():
            shape = list(logits_of(policy(data.states[:1])).shape)
        if shape[1:] != list(self.mdp.rewards.shape[1:]):
            allowed = f"[levels, {', '.join(map(str, self.mdp.rewards.shape[1:]))}]"
            raise InputError.of("shape of logits", shape, allowed)
        self.mdp.optimal_value(self.temperature)  # found now, outside of any transformation
        weights = data.weights
        if weights is None and self.mdp.weights is not None:
            weights = self.mdp.weights[level].to(next(policy.parameters()))
        data = data.with_fields(level=level)
        if weights is None:
            return data
        count = weights > 0
        weights = weights[count]
        return data.take(count).with_fields(weights=weights / weights.mean())

    def returns(self, policy: Policy, batch: PolicyData) -> Tensor:
        """The policy's return, with its entropy bonus, in each level of a batch `[B]`."""
        logits = logits_of(policy(batch.states))
        return self._levels(batch, logits.dtype).returns(logits, temperature=self.temperature)

    def _levels(self, batch: PolicyData, dtype: torch.dtype) -> TabularMDP:
        assert self.mdp is not None and batch.level is not None
        return self.mdp.to(dtype).take(batch.level)


@dataclass(frozen=True, eq=False)
class ExactRegret(OfLevels):
    """`V*(s0) - V_w(s0)` per level, in units of reward: the RL objective itself.

    With a temperature tau it is the soft regret, `tau sum_s d_w(s) KL(pi_w(.|s) || pi*(.|s))`, d_w
    the discounted visits and pi* the softmax of `Q* / tau` (`rl_slt.data.tabular`): its minimum is
    at finite logits. Without one a softmax policy attains the minimum nowhere: there is no LLC
    then, only a number that falls to 0 with training.

    Args:
        mdp: the levels as decision processes that are solved exactly.
        temperature: tau, reward for each nat of entropy; 0 is the hard regret.

    Example:
        >>> estimate_llc(policy, grid.data(alpha=0.1), nbeta=1000.0, localization=100.0,
        ...              loss=ExactRegret(grid.mdp, temperature=0.05))
    """

    name = "exact-regret"

    @property
    def hint(self) -> str:
        """That a temperature gives a softmax policy a minimum."""
        if self.temperature:
            return "train it on the soft regret of this temperature, and longer"
        return "a softmax policy attains none; the soft regret, at a temperature > 0, has one"

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-level regrets `[B]`, reward."""
        assert self.mdp is not None
        returns = self.returns(policy, batch)
        best = self.mdp.optimal_returns(self.temperature).to(returns.dtype)
        return best[batch.level] - returns

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sqrt(d(s) pi(a|s) (tau + |c|)) log pi_w(a|s)` `[B, S A]`, the roots without gradient.

        With `c(s, a) = V*(s) - Q*(s, a) + tau log pi_w(a|s)` and g the gradient of log pi_w, the
        second derivative of `sum_a pi_w c` at a state is

            sum_a pi_w (tau g g' + c (g g' + grad g)).

        At the minimum of the soft regret c is 0, and the Hessian is exactly the policy's Fisher
        matrix weighted by tau times the discounted visits. Elsewhere `|c|` bounds the first part of
        the rest: the gap of an action takes the place of a temperature of 0.
        """
        assert self.mdp is not None
        log_p = log_softmax(logits_of(policy(batch.states)))
        at = log_p.detach()
        mdp = self._levels(batch, at.dtype)
        value = self.mdp.optimal_value(self.temperature)
        gap = (value[..., None] - self.mdp.q_value(value)).to(at.dtype)[batch.level]
        c = gap + self.temperature * at if self.temperature else gap
        visits = mdp.occupancy(probs=at.exp())
        rows = (visits[..., None] * at.exp() * (self.temperature + c.abs())).sqrt() * log_p
        return rows.flatten(1)


@dataclass(frozen=True, eq=False)
class ReturnError(OfLevels):
    """`(V_w(s0) - V_w*(s0))^2` per level: how far the return moves from the policy's own.

    w* is an exact minimum with loss 0, however good the policy is, so that an estimate is never
    negative; it does not tell which policy of the same return is better.

    Args:
        mdp: the levels as decision processes that are solved exactly.
        temperature: tau, reward for each nat of entropy in the return.
    """

    name = "return-error"

    @property
    def zero_at_center(self) -> bool:
        """True."""
        return True

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the returns at w*, too."""
        data = super().prepare(policy, data, generator)
        with torch.no_grad():
            return data.with_fields(returns=self.returns(policy, data))

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-level losses `[B]`, squared reward."""
        assert batch.returns is not None
        return (self.returns(policy, batch) - batch.returns).square()

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sqrt(2) V_w(s0)` `[B, 1]`: the mean of their gradients' squares is the Hessian at w*."""
        return math.sqrt(2) * self.returns(policy, batch)[:, None]
