"""What a loss is: per-sample losses [B] of a policy on a batch, and a few optional promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError

Policy = Callable[[Tensor], "Tensor | tuple[Tensor, Tensor]"]

NARROW = 32  # actions up to which torch's softmax over the last dimension is slow


class LossFunction(Protocol):
    """Any callable `loss(policy, batch) -> [B]`; a user's own loss needs no more than this."""

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats or the loss's own unit."""


class Loss:
    """Base of the built-in losses: the defaults of the optional promises.

    Attributes:
        name: what tables call it.
        unit: `"state"`, or `"episode"` when a sample is an episode (then N and B count episodes).
        batched: False when the loss must not be tried under `torch.func.vmap` over chains.
        zero_at_start: True when the loss at w* is 0 by definition, so no baseline is measured.
    """

    name: ClassVar[str] = "custom"
    unit: ClassVar[str] = "state"
    batched: ClassVar[bool] = True

    @property
    def zero_at_start(self) -> bool:
        """Whether the baseline is exactly 0."""
        return False

    @property
    def redrawn(self) -> bool:
        """Whether `refresh` draws anew: such a loss has no fixed energy for a Metropolis test."""
        return False

    @property
    def reference(self) -> nn.Module | None:
        """The named reference policy; None is the checkpoint itself."""
        return None

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        raise NotImplementedError

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Fill the absent fields this loss reads, once, from the policy at w*."""
        return data

    def refresh(self, batch: PolicyData, generator: Generator) -> PolicyData:
        """Redraw what is random in a batch; called before every gradient."""
        return batch

    def start_loss(self, batch: PolicyData) -> Tensor | None:
        """Per-sample losses `[B]` at w* of a redrawn batch; None when they are fixed per sample."""
        return None

    def report(self, policy: Policy, batch: PolicyData) -> dict[str, float]:
        """Numbers worth knowing about the loss at a posterior draw."""
        return {}

    def score(self, policy: Policy, batch: PolicyData, generator: Generator) -> Tensor | None:
        """Per-sample scalars `[B]`; E[g g'] of their gradients g is the Gauss-Newton matrix.

        None when the loss does not know; the curvature is then taken from gradient differences.
        """
        return None


class PlainLoss(Loss):
    """A user's own function as a loss; every field it may read is filled from the policy."""

    def __init__(self, function: LossFunction) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)  # type: ignore[misc]
        self.unit = getattr(function, "unit", "state")  # type: ignore[misc]

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`."""
        return self.function(policy, batch)

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """Outputs as reference logits, and actions drawn from them, where absent."""
        logits = data.reference_logits
        if logits is None:
            logits = policy_logits(policy, data)
            data = data.with_fields(reference_logits=logits)
        if data.actions is None and logits.ndim == 2:
            actions = draw_actions(logits, generator)
            data = data.with_fields(actions=actions, log_probs=action_log_probs(logits, actions))
        return data


def as_loss(loss: LossFunction) -> Loss:
    """The loss itself when it is one of ours, else the function wrapped."""
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        raise InputError(f"loss is {loss!r}; it must be a callable loss(policy, batch) -> [B]")
    return PlainLoss(loss)


def logits_of(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Action logits `[B, A]` of a policy's output, which may be `(logits, value)`."""
    return output[0] if isinstance(output, tuple) else output


def policy_logits(policy: nn.Module, data: PolicyData, chunk: int = 512) -> Tensor:
    """Action logits `[N, A]` of a policy on all data, in chunks, without gradients."""
    with torch.no_grad():
        parts = [logits_of(policy(part.states)) for part in data.chunks(chunk)]
    return torch.cat(parts)


def check_actions(data: PolicyData, logits: Tensor) -> None:
    """Raise InputError unless all actions are among the policy's: a GPU would say so too late."""
    assert data.actions is not None
    low, high = int(data.actions.min()), int(data.actions.max())
    if low < 0 or high >= logits.shape[-1]:
        wrong = low if low < 0 else high
        raise InputError(f"actions hold {wrong}; allowed: 0 to {logits.shape[-1] - 1}")


def draw_actions(logits: Tensor, generator: Generator) -> Tensor:
    """One action `[B]` per row of `[B, A]` logits, by the Gumbel-max trick."""
    noise = torch.empty_like(logits).exponential_(generator=generator)
    return (logits - noise.log()).argmax(-1)


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities `[B, A]` of `[B, A]` logits, nats.

    Torch's kernel goes along the last dimension one row at a time, along any other with vectors:
    with 15 actions ten times as fast on a CPU.
    """
    if logits.shape[-1] > NARROW:
        return logits.log_softmax(-1)
    return logits.mT.contiguous().log_softmax(-2).mT


def action_log_probs(logits: Tensor, actions: Tensor) -> Tensor:
    """Log-probability `[B]` of `actions` `[B]` under `logits` `[B, A]`, nats."""
    return log_softmax(logits).gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)
