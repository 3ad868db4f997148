"""PPO's objective as a loss (Schulman et al. 2017, equations 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, action_log_probs, logits_of


@dataclass(frozen=True, eq=False)
class Surrogate(Loss):
    """`-r A`, or clipped `-min(r A, clip(r, 1 - c, 1 + c) A)`, with `r = pi_w(a|s) / pi(a|s)`.

    pi is the policy that took the actions: `log_probs`, where present, else the checkpoint.
    w* is rarely a minimum of it: look at the gradient norm, or sample orthogonally to it.

    Attributes:
        clip: c; None does not clip.

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
