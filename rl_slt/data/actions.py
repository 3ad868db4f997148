"""Actions that do the same, merged before a loss sees them.

Where several actions have the same effect, how a policy splits its probability among them changes
nothing that it does, yet moves a loss of the policy and its LLC. Merging takes the probability of
the whole class: `log p(class | s) = logsumexp` of its members' logits, up to the same constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_slt.data.policies import copy_policy
from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError

Classes = Sequence[Sequence[int]]


def merged_logits(logits: Tensor, classes: Classes) -> Tensor:
    """Logits of classes `[..., K]` from logits of actions `[..., A]`."""
    most, actions = max(map(len, classes)), logits.shape[-1]
    rows = [[*members, *[actions] * (most - len(members))] for members in classes]
    padded = F.pad(logits, (0, 1), value=-torch.inf)
    return padded[..., torch.tensor(rows, device=logits.device)].logsumexp(-1)


def merge_policy(policy: nn.Module, classes: Classes) -> nn.Module:
    """A copy of a policy that gives logits of classes `[B, K]`; its weights keep their names."""
    twin = copy_policy(policy)
    twin.register_forward_hook(_Merge(tuple(map(tuple, classes))))
    return twin


@dataclass(frozen=True)
class _Merge:
    """The hook of a policy that merges its logits; equal to that of another one's same classes."""

    classes: Classes

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return merged_logits(output[0], self.classes), *output[1:]
        return merged_logits(output, self.classes)


def merge_data(data: PolicyData, classes: Classes) -> PolicyData:
    """Data whose actions are numbers of classes.

    Log-probabilities of single actions say nothing of those of classes: they are left out, and
    taken from the checkpoint where a loss needs them.
    """
    changes: dict[str, Any] = {"log_probs": None}
    if data.actions is not None:
        number = torch.empty(sum(map(len, classes)), dtype=torch.int64)
        for k, members in enumerate(classes):
            number[list(members)] = k
        changes["actions"] = number.to(data.actions.device)[data.actions.long()]
    if data.reference_logits is not None:
        changes["reference_logits"] = merged_logits(data.reference_logits, classes)
    return replace(data, **changes)


def check_classes(classes: Classes, actions: int) -> None:
    """Raise InputError unless every action of a policy is in one class, and only one."""
    members = sorted(action for group in classes for action in group)
    if members != list(range(actions)) or not all(classes):
        raise InputError.of(
            "distinct_actions", [list(group) for group in classes],
            f"classes that hold each of the actions 0 to {actions - 1} once",
        )  # fmt: skip
