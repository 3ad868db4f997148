"""Cross-entropy of a classifier on labelled inputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.errors import InputError
from rl_slt.losses.base import Loss, Policy, action_log_probs, log_softmax, logits_of, policy_logits


@dataclass(frozen=True, eq=False)
class CrossEntropy(Loss):
    """`-log p_w(y|x)` per sample, nats: inputs x are the data's `states`, classes y its `targets`.

    The loss that a classifier is trained by, whose learning coefficient is that of the theory
    (Watanabe 2009): `n L + lambda log n` is the free energy of its posterior. A trained model is
    seldom a minimum of it; `orthogonal=True` then gives an LLC constrained to the directions
    orthogonal to the gradient, and a self-KL (`PolicyKL`) one of the function as it is.

    Example:
        >>> data = PolicyData(inputs, targets=labels)
        >>> estimate_llc(model, data, loss=CrossEntropy(), orthogonal=True)
    """

    name = "cross-entropy"

    def __call__(self, policy: Policy, batch: PolicyData) -> Tensor:
        """Per-sample losses `[B]`, nats."""
        assert batch.targets is not None
        return -action_log_probs(logits_of(policy(batch.states)), batch.targets)

    def prepare(self, policy: nn.Module, data: PolicyData, generator: Generator) -> PolicyData:
        """The data as they are.

        Raises:
            InputError: there are no targets, or one is no class of the model's.
        """
        if data.targets is None or data.targets.is_floating_point() or data.targets.ndim != 1:
            raise InputError("targets: must be classes [N], integers, for the cross-entropy")
        classes = policy_logits(policy, data.take(slice(0, 1))).shape[-1]
        low, high = int(data.targets.min()), int(data.targets.max())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise InputError.of("targets", wrong, f"integers from 0 to {classes - 1}")
        return data

    def score_rows(self, policy: Policy, batch: PolicyData) -> Tensor:
        """`sqrt(p_c) log p_w(c|x)` `[B, C]`, whose gradients give the Fisher matrix at w."""
        log_p = log_softmax(logits_of(policy(batch.states)))
        return (0.5 * log_p.detach()).exp() * log_p
