"""States a policy is judged on, with whatever was recorded with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from rl_slt.errors import InputError


@dataclass(frozen=True, eq=False)
class PolicyData:
    """N states in a row, and per-state records; absent fields are `None`.

    Attributes:
        states: `[N, ...]`, in the dtype the policy takes (frames stay uint8).
        actions: `[N]`, integers.
        log_probs: `[N]`, log-probability of `actions` under the policy that took them, nats.
        advantages: `[N]`.
        returns: `[N]`, discounted return from here on.
        returns_sd: `[N]`, standard deviation of `returns` around what a value head can know.
        rewards: `[N]`.
        episode: `[N]`, integer id of the episode each state belongs to.
        reference_logits: `[N, A]`, the reference policy's action logits.
        weights: `[N]`, how much each counts in a mean, relative to the others; of an episode, that
            of its first state. None is equally.
        level: `[N]`, integers: the level of a `TabularMDP` that a sample is. None: sample i is
            level i.
        targets: what a supervised model should give on its inputs, the `states`: classes `[N]`
            (integers) or values `[N, ...]`.

    Raises:
        InputError: no states, or a field whose first dimension is not N.
    """

    states: Tensor
    actions: Tensor | None = None
    log_probs: Tensor | None = None
    advantages: Tensor | None = None
    returns: Tensor | None = None
    returns_sd: Tensor | None = None
    rewards: Tensor | None = None
    episode: Tensor | None = None
    reference_logits: Tensor | None = None
    weights: Tensor | None = None
    level: Tensor | None = None
    targets: Tensor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.states, Tensor) or self.states.ndim < 1 or not len(self.states):
            raise InputError("states: must be a tensor [N, ...] with N >= 1")
        if self.states.is_floating_point() and not bool(torch.isfinite(self.states).all()):
            raise InputError("states: hold NaN or infinite values; all must be finite")
        for name, value in self.tensors().items():
            if len(value) != len(self.states):
                raise InputError(
                    f"{name} has {len(value)} rows; it must have one per state ({len(self.states)})"
                )
        if self.weights is not None:
            check_weights(self.weights)

    def __len__(self) -> int:
        return len(self.states)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are present, by name."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}

    @classmethod
    def trusted(cls, tensors: dict[str, Tensor]) -> PolicyData:
        """Data of checked fields by name, not checked again (the inner loop's constructor)."""
        out = object.__new__(cls)
        for name in FIELDS:
            object.__setattr__(out, name, tensors.get(name))
        return out

    def take(self, index: Tensor | slice) -> PolicyData:
        """The rows at `index` (`[B]` integers, a slice, or a mask `[N]`)."""
        rows = self.tensors().items()
        if isinstance(index, Tensor) and index.dtype == torch.int64:  # faster than value[index]
            return self.trusted({name: value.index_select(0, index) for name, value in rows})
        return self.trusted({name: value[index] for name, value in rows})

    def to(self, device: torch.device) -> PolicyData:
        """The same data on a device."""
        return self.trusted({name: value.to(device) for name, value in self.tensors().items()})

    def subset(self, mask: Tensor) -> PolicyData:
        """The states where `mask` (`[N]` bool) holds: a data-refined LLC is the LLC of these.

        Raises:
            InputError: the mask has another length or holds nowhere.
        """
        mask = torch.as_tensor(mask, device=self.states.device)
        if mask.dtype != torch.bool or mask.shape != (len(self),):
            raise InputError(f"mask must be {len(self)} booleans, one per state")
        if not bool(mask.any()):
            raise InputError("mask selects no state; it must select at least one")
        return self.take(mask)

    def with_fields(self, **changed: Tensor) -> PolicyData:
        """A copy with some fields replaced, their lengths checked."""
        return replace(self, **changed)

    def chunks(self, size: int) -> Iterator[PolicyData]:
        """The data in order, at most `size` rows at a time (so frames become floats in parts)."""
        for first in range(0, len(self), size):
            yield self.take(slice(first, first + size))


def check_weights(weights: Tensor) -> None:
    """Raise InputError unless all are at least 0 and finite, and some above 0."""
    if bool((weights < 0).any()) or not 0 < float(weights.sum()) < math.inf:
        raise InputError("weights: must be at least 0, finite, and not all 0")


FIELDS = tuple(field.name for field in fields(PolicyData))
