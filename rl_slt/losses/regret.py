"""The RL objective: importance-weighted return of whole episodes, negated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, action_log_probs, logits_of

LEAST_ESS = 0.5  # of the weights, as a share of the episodes


@dataclass(frozen=True, eq=False)
class Regret(Loss):
    """`-sum_t gamma^t rho_t r_t` per episode, `rho_t = prod_{k <= t} pi_w(a_k|s_k) / pi(a_k|s_k)`.

    Per-decision importance weights (Precup, Sutton & Singh 2000): a reward is weighted by the
    actions up to it only. The best policy's return, a constant, is left out; the LLC does not see
    it. Elliott et al. 2026 (arXiv 2601.07524) relate this LLC to the posterior over policies.

    Attributes:
        discount: gamma, per step.
        self_normalized: divide rho_t by its mean over the batch's episodes at each t: biased by
            O(1 / episodes), with less variance. An episode that has ended keeps its last weight.
        clip: largest rho_t, or None. Report the share clipped (`report`).

    Raises:
        InputError: a setting is out of its range.
    """

    discount: float = 0.999
    self_normalized: bool = False
    clip: float | None = None
    name = "regret"
    sample_unit = "episode"
    needs = ("actions", "rewards", "episode")
    options = ("clip", "self_normalized")
    batched = False

    def __post_init__(self) -> None:
        if not 0 < self.discount <= 1:
            raise InputError.of("discount", self.discount, "above 0 and at most 1")
        if self.clip is not None and not self.clip > 0:
            raise InputError.of("clip", self.clip, "above 0, or none")

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-episode losses `[E]`, in the order of episode ids' first appearance."""
        assert batch.rewards is not None
        weights, where, time = self._weights(policy, batch)
        rewards = torch.zeros_like(weights)
        rewards[where, time] = batch.rewards.to(weights.dtype)
        if self.clip is not None:
            weights = weights.clamp(max=self.clip)
        if self.self_normalized:
            weights = weights / weights.mean(0, keepdim=True)
        steps = torch.arange(weights.shape[1], dtype=weights.dtype, device=weights.device)
        return -(weights * rewards * self.discount**steps).sum(1)

    def report(self, policy: Policy, batch: PolicyData) -> dict[str, float]:
        """Share of weights clipped, and effective sample size of the final weights per episode."""
        with torch.no_grad():
            weights, where, time = self._weights(policy, batch)
        over = weights[where, time] > (self.clip or float("inf"))
        last = weights[:, -1].clamp(max=self.clip or float("inf"))
        ess = (last.sum() ** 2 / last.square().sum() / len(last)).nan_to_num()  # all weights 0
        return {"clipped": float(over.float().mean()), "weight_ess": float(ess)}

    def undefined(self, report: dict[str, float]) -> str:
        """What the weights lack: below half the episodes, a few of them are the whole estimate."""
        ess = report["weight_ess"]
        if ess >= LEAST_ESS:
            return ""
        return (
            f"the importance weights at posterior draws are worth {ess:.0%} of the episodes, below "
            f"{LEAST_ESS:.0%}: take a larger localization, which keeps the draws nearer"
        )

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sum_t c_t log pi_w(a_0 .. a_t) / sqrt(sum_t c_t)` `[E, 1]`, `c_t = gamma^t |r_t|`.

        A Gauss-Newton form: the Hessian of `-rho_t r_t` at w* holds `-r_t g_t g_t'`, g_t the
        gradient of `log rho_t`, and this gives the mean of `c_t g_t g_t'` where an episode has one
        reward, as in CoinRun, and less where it has several.
        """
        assert batch.actions is not None and batch.rewards is not None
        log_probs = action_log_probs(logits_of(policy(batch.states)), batch.actions)
        where, time = positions(batch)
        shape = (int(where.max()) + 1, int(time.max()) + 1)
        sums = log_probs.new_zeros(shape).index_put((where, time), log_probs).cumsum(1)
        rewards = batch.rewards.abs().to(sums.dtype) * self.discount ** time.to(sums.dtype)
        share = sums.new_zeros(shape).index_put((where, time), rewards)
        total = share.sum(1)
        return ((share * sums).sum(1) / total.sqrt().clamp(min=1e-12))[:, None]

    def _weights(self, policy: Policy, batch: PolicyData) -> tuple[Tensor, Tensor, Tensor]:
        """Rho `[E, T]`, constant past an episode's end; and each state's row and column."""
        assert batch.actions is not None and batch.log_probs is not None
        log_probs = action_log_probs(logits_of(policy(batch.states)), batch.actions)
        where, time = positions(batch)
        shape = (int(where.max()) + 1, int(time.max()) + 1)
        log_ratio = log_probs.new_zeros(shape)
        log_ratio = log_ratio.index_put((where, time), log_probs - batch.log_probs)
        return log_ratio.cumsum(1).exp(), where, time


def positions(batch: PolicyData) -> tuple[Tensor, Tensor]:
    """Row (episode in order of appearance) and step within it, `[B]` each.

    States of an episode must be adjacent and in time order, as `Samples` gives them.
    """
    assert batch.episode is not None
    _, lengths = torch.unique_consecutive(batch.episode, return_counts=True)
    rows = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    starts = lengths.cumsum(0) - lengths
    return rows, torch.arange(len(rows), device=rows.device) - starts[rows]
