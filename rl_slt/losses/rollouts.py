"""The RL objective by fresh rollouts: episodes played with the very weights that are judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.simulate import Simulator
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, log_softmax
from rl_slt.losses.regret import positions


@dataclass(frozen=True, eq=False)
class RolloutRegret(Loss):
    """Best return less the return of episodes played with w itself: `-sum_t gamma^t r_t` each.

    The best return, a constant, is left out. With a temperature tau the return has the policy's
    entropy added, `r_t + tau H(pi_w(.|s_t))`: the soft regret, whose minimum is at finite logits.
    Samples are episodes, which N and the batch size count; each sample is the level of one.

    Every gradient is of fresh episodes, so that all importance weights are 1: it is the policy
    gradient (Williams 1992; Sutton et al. 2000)

        -sum_t gamma^t ((G_t - b_t) grad log pi_w(a_t|s_t) + tau grad H(pi_w(.|s_t))),

    G_t the (soft) reward to go and b_t a baseline, which changes no mean: the policy's value, where
    it has one, and what the other episodes of the batch got beyond theirs at step t. L(w*) is of
    episodes on the same levels with the same random numbers, just as fresh, so that its error is
    part of the error of the chains.

    Attributes:
        simulator: plays the episodes; may be None where a loss is only named, as in a plan.
        discount: gamma, per step.
        temperature: tau, reward per nat of entropy; 0 leaves the return alone.

    Raises:
        InputError: a setting is out of its range.
    """

    simulator: Simulator | None = None
    discount: float = 0.999
    temperature: float = 0.0
    name = "rollout-regret"
    sample_unit = "episode"
    options = ("temperature",)
    batched = False
    plays = True

    def __post_init__(self) -> None:
        if not 0 < self.discount <= 1:
            raise InputError.of("discount", self.discount, "above 0 and at most 1")
        if not 0 <= self.temperature < math.inf:
            raise InputError.of("temperature", self.temperature, "at least 0")

    @property
    def redrawn(self) -> bool:
        """True."""
        return True

    @property
    def hint(self) -> str:
        """That a temperature gives a softmax policy a minimum."""
        if self.temperature:
            return "train it on the soft regret of this temperature, and longer"
        return "a softmax policy attains none; the soft regret, at a temperature > 0, has one"

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Episodes of the policy at w*, one for each row of the data, on its level.

        Raises:
            InputError: there is no simulator, or the data tell no levels.
        """
        needed = f"given: the {self.name} loss needs"
        if self.simulator is None:
            raise InputError.of("simulator", None, f"{needed} one to play episodes")
        if data.level is None:
            raise InputError.of("level", None, f"{needed} the level of each episode")
        return self._played(policy, data.level, data.weights, generator)

    def refresh(self, batch: PolicyData, generator: Generator, policy: Policy) -> PolicyData:
        """Fresh episodes of this policy, on the levels of the batch's episodes."""
        assert batch.level is not None and batch.episode is not None
        _, lengths = torch.unique_consecutive(batch.episode, return_counts=True)
        first = lengths.cumsum(0) - lengths
        weights = None if batch.weights is None else batch.weights[first]
        return self._played(policy, batch.level[first], weights, generator)

    def _played(
        self, policy: Policy, levels: Tensor, weights: Tensor | None, generator: Generator
    ) -> PolicyData:
        assert self.simulator is not None
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        with torch.no_grad():
            played = self.simulator(policy, levels, seed)
        assert played.episode is not None
        of = played.episode.long()
        given = {} if weights is None else {"weights": weights[of]}
        return PolicyData.trusted(played.tensors() | {"level": levels[of]} | given)

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-episode losses `[E]`, reward; their gradient is the policy gradient."""
        steps = self._steps(policy, batch)
        gain = steps.advantage * steps.log_prob
        earned = steps.reward
        if self.temperature:
            gain = gain + self.temperature * steps.entropy
            earned = earned + self.temperature * steps.entropy.detach()
        losses = -(steps.discount * gain).sum(1)
        value = -(steps.discount * earned).sum(1)
        return losses + (value - losses).detach()

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sum_t sqrt(gamma^t c_t) log pi_w(a_t|s_t)` `[E, 1]`, `c_t = tau`, or `|G_t - b_t|` at 0.

        Scores of different steps are uncorrelated, so that with tau the mean of the products of its
        gradient is tau times the Fisher matrix over discounted visits: the Hessian at the minimum
        of the soft regret. Without one it is a Gauss-Newton form, as of the surrogate.
        """
        steps = self._steps(policy, batch)
        count = self.temperature or steps.advantage.abs()
        return ((steps.discount * count).sqrt() * steps.log_prob).sum(1, keepdim=True)

    def _steps(self, policy: Policy, batch: PolicyData) -> Steps:
        assert batch.actions is not None and batch.rewards is not None
        output = policy(batch.states)
        logits, value = output if isinstance(output, tuple) else (output, None)
        log_p = log_softmax(logits)
        where, time = positions(batch)
        shape = (int(where.max()) + 1, int(time.max()) + 1)

        def table(values: Tensor) -> Tensor:
            return values.new_zeros(shape).index_put((where, time), values)

        log_prob = log_p.gather(-1, batch.actions.long()[:, None])[:, 0]
        entropy = table(-(log_p.exp() * log_p).sum(-1))
        reward = table(batch.rewards.to(log_p.dtype))
        live = table(torch.ones_like(log_prob))
        discount = self.discount ** torch.arange(shape[1], device=live.device).to(live)
        # Of the entropies those after t count: that at t does not depend on the action there.
        bonus = self.temperature * entropy.detach()
        togo = _to_go(reward + bonus, self.discount) - bonus
        beyond = togo if value is None else togo - table(value.detach().reshape(-1).to(togo))
        beyond = beyond * live
        count = live.sum(0)
        others = (beyond.sum(0) - beyond) / (count - 1).clamp(min=1)
        return Steps(table(log_prob), entropy, reward, (beyond - others) * live, discount)


class Steps(NamedTuple):
    """Steps of episodes `[E, T]`, 0 past their ends; and `gamma^t` `[T]`."""

    log_prob: Tensor
    entropy: Tensor
    reward: Tensor
    advantage: Tensor
    discount: Tensor


def _to_go(rewards: Tensor, discount: float) -> Tensor:
    """`sum_(k >= t) gamma^(k - t) r_k` of rewards `[E, T]`."""
    steps = torch.arange(rewards.shape[1], dtype=rewards.dtype, device=rewards.device)
    return rewards @ (discount ** (steps[:, None] - steps)).tril()
