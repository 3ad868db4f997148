"""The reference policy's logits on all data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import policy_logits


def reference_logits(policy: nn.Module, reference: nn.Module | None, data: PolicyData) -> Tensor:
    """Logits `[N, A]` of the reference (None: the policy itself), computed in evaluation mode.

    Raises:
        InputError: the logits are not `[N, A]`, are not finite, or the two policies' A differ.
    """
    own = _checked(policy_logits(policy, data), len(data), "the policy")
    if reference is None:
        return own
    was_training = {m: m.training for m in reference.modules()}
    reference.eval()
    try:
        place = next((p.device for p in reference.parameters()), data.states.device)
        logits = policy_logits(reference, data.to(place))
        other = _checked(logits, len(data), "the reference policy")
    finally:
        for module, mode in was_training.items():
            module.training = mode
    if other.shape != own.shape:
        raise InputError(
            f"the reference policy has {other.shape[1]} actions; it must have {own.shape[1]}"
        )
    return other.to(own)


def _checked(logits: Tensor, n: int, who: str) -> Tensor:
    if logits.ndim != 2 or len(logits) != n:
        raise InputError(f"{who} returned logits {list(logits.shape)}; they must be [{n}, actions]")
    if not bool(torch.isfinite(logits).all()):
        raise InputError(f"{who} returned NaN or infinite logits on the states; all must be finite")
    return logits
