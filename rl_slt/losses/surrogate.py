"""PPO's objective as a loss (Schulman et al. 2017, equations 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, action_log_probs, logits_of


@dataclass(frozen=True, eq=False)
class Surrogate(Loss):
    """`-r A`, or clipped `-min(r A, clip(r, 1 - c, 1 + c) A)`, with `r = pi_w(a|s) / pi(a|s)`.

    pi is the policy that took the actions: `log_probs`, where present, else the checkpoint.
    Advantages A are brought to mean 0 and standard deviation 1 over the data, as PPO does for each
    of its batches, so the loss does not depend on the unit of reward. w* is rarely a minimum, and
    then has no LLC. Unclipped it never has: the loss falls, to `-A / pi(a|s)`, until the policy is
    certain of its actions, at infinite weights.

    Attributes:
        clip: c, 0.2 in PPO; None does not clip.

    Raises:
        InputError: c is not positive.
    """

    clip: float | None = None
    name = "surrogate"
    needs = ("actions", "advantages")
    options = ("clip",)

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise InputError.of("clip", self.clip, "above 0, or none")

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        assert batch.actions is not None and batch.log_probs is not None
        assert batch.advantages is not None
        log_probs = action_log_probs(logits_of(policy(batch.states)), batch.actions)
        ratio = (log_probs - batch.log_probs).exp()
        gain = ratio * batch.advantages
        if self.clip is not None:
            clipped = ratio.clamp(1 - self.clip, 1 + self.clip) * batch.advantages
            gain = torch.minimum(gain, clipped)
        return -gain

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill absent log-probabilities and standardize the advantages.

        Raises:
            InputError: actions or advantages are absent, or all advantages are equal.
        """
        data = super().prepare(policy, data, generator)
        assert data.advantages is not None
        centered = data.advantages - self.weigh(data.advantages, data).mean()
        sd = float(self.weigh(centered.square(), data).mean().sqrt())
        if not sd > 1e-6 * float(data.advantages.abs().max()):
            hint = "with equal advantages no action is better than another"
            raise InputError.of("standard deviation of advantages", sd, "above 0", hint)
        return data.with_fields(advantages=centered / sd)

    def undefined(self, report: dict[str, float]) -> str:
        """That it has no minimum, where it is not clipped."""
        return "" if self.clip else "unclipped, the surrogate has no minimum: set clip, as 0.2"

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sqrt(|A|) log pi_w(a|s)` `[B, 1]`: a Gauss-Newton majorant.

        The Hessian of `-r A` at w* is `-A (g g' + grad^2 log pi)`, g the gradient of log pi, of
        either sign; `|A| g g'` bounds its first term.
        """
        assert batch.actions is not None and batch.advantages is not None
        log_probs = action_log_probs(logits_of(policy(batch.states)), batch.actions)
        return (batch.advantages.abs().sqrt() * log_probs)[:, None]
