"""Policies as plain modules: logits, log-probabilities, divergence, and sampling of actions.

A policy is a torch module from states `[N, ...]` to action logits `[N, A]`, or to
`(logits, value)`. Torch is imported when a policy is called, so that environments need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_slt import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from envs.vector import ProcgenVectorEnv

MODES = ("sampled", "greedy")
Actions = NDArray[np.int64]
Classes = Sequence[Sequence[int]]
"""Classes of actions that do the same, each action in one of them."""


def logits_of(output: Any) -> Tensor:
    """The logits `[N, A]` in a policy's output, which may be `(logits, value)`.

    Args:
        output: of a policy: logits `[N, A]`, or a tuple that begins with them.
    """
    logits: Tensor = output[0] if isinstance(output, tuple) else output
    return logits


def log_probs(
    policy: nn.Module, states: Tensor, classes: Classes | None = None, *, grad: bool = False
) -> Tensor:
    """Log-probabilities of all actions, double `[N, A]`, nats.

    Args:
        policy: called as it is, in the mode (train or eval) in which it stands.
        states: `[N, ...]`.
        classes: of actions that count as one, as in `merge_actions`; None keeps all apart.
        grad: record for differentiation.
    """
    import torch

    with torch.set_grad_enabled(grad):
        log_p = logits_of(policy(states)).double().log_softmax(-1)
        return log_p if classes is None else merge_actions(log_p, classes)


def merge_actions(log_p: Tensor, classes: Classes) -> Tensor:
    """Log-probabilities `[N, K]` of classes of actions that do the same, nats.

    How a policy splits its probability among such actions changes nothing that it does, so that
    distributions are compared by these.

    Args:
        log_p: of all actions, `[N, A]`.
        classes: `[[0], [1], [2, 3]]`, as `distinct_actions` of a game.
    """
    import torch

    return torch.stack([log_p[..., list(members)].logsumexp(-1) for members in classes], dim=-1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """`KL(p || q) = sum_a p(a) (log p(a) - log q(a))` in nats, `[N]`, where 0 log 0 = 0.

    Args:
        log_p: log-probabilities `[N, A]`.
        log_q: log-probabilities `[N, A]`.
    """
    p = log_p.exp()
    return (p * (log_p - log_q)).where(p > 0, 0.0).sum(-1)


def sample_actions(
    logits: Tensor,
    source: np.random.Generator | torch.Generator | NDArray[np.float64],
    mode: str = "sampled",
) -> Actions:
    """Actions `[N]` drawn from logits `[N, A]`, or the most probable ones.

    Args:
        logits: on any device.
        source: of randomness. A numpy generator draws by Gumbel noise (the largest of logits plus
            noise), a torch generator (on the logits' device) by `torch.multinomial`; uniform
            numbers `[N]` on [0, 1) are put through the inverse distribution function, so that
            policies with equal distributions take equal actions on equal numbers.
        mode: `sampled`, or `greedy`, which uses no randomness.
    """
    if mode == "greedy":
        return np.asarray(logits.argmax(-1).cpu().numpy())
    if isinstance(source, np.random.Generator):
        scores = logits.double().cpu().numpy()
        return np.asarray((scores + source.gumbel(size=scores.shape)).argmax(axis=1))
    if isinstance(source, np.ndarray):
        scores = logits.double().cpu().numpy()
        rising = np.exp(scores - scores.max(axis=1, keepdims=True)).cumsum(axis=1)
        return np.asarray((rising <= source[:, None] * rising[:, -1:]).sum(axis=1))
    import torch

    drawn = torch.multinomial(logits.softmax(-1), 1, generator=source)
    return np.asarray(drawn[:, 0].cpu().numpy())


class ScriptedPolicy(Protocol):
    """A policy that may read more than the observation."""

    name: str

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions [n] for the current step."""
        ...


class NetworkPolicy:
    """A network in the place of a scripted policy.

    Args:
        module: from frames uint8 `[B, 64, 64, 3]` to logits `[B, A]`, or `(logits, value)`.
        mode: `sampled` or `greedy` actions.
        seed: of the action noise.

    Raises:
        InputError: for an unknown mode.
    """

    name = "agent"

    def __init__(self, module: Any, mode: str = "sampled", seed: int = 0) -> None:
        if mode not in MODES:
            raise InputError.of("mode", mode, " or ".join(MODES))
        self.module, self.mode = module, mode
        self._generator = np.random.default_rng(seed)

    def __call__(self, obs: NDArray[np.uint8], vector: ProcgenVectorEnv) -> Actions:
        """Actions `[n]` for frames uint8 `[n, 64, 64, 3]`."""
        import torch

        with torch.no_grad():
            logits = logits_of(self.module(torch.from_numpy(obs)))
        return sample_actions(logits, self._generator, self.mode)
