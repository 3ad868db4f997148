"""What chooses actions in probes: a network, or a baseline, on shared random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs import ProcgenVectorEnv, Scripted, logits_of, sample_actions

if TYPE_CHECKING:
    import torch

NUM_ENVS = 128


@dataclass(frozen=True)
class BatchStep:
    """One simultaneous step of n environments.

    Attributes:
        obs: frames `[n, 64, 64, 3]`.
        task: `[n]`, index of the episode that each plays.
        t: `[n]`, steps taken in this episode.
        noise: `[n]`, uniform on [0, 1), fixed by seed, level and t alone.
        infos: of all environments, also those that are done.
        active: which of them these n are.
        vector: the environments themselves, for privileged-information policies.
    """

    obs: NDArray[np.uint8]
    task: NDArray[np.int64]
    t: NDArray[np.int64]
    noise: NDArray[np.float64]
    infos: dict[str, Any]
    active: NDArray[np.bool_]
    vector: ProcgenVectorEnv

    def info(self, name: str) -> NDArray[Any]:
        """An info of these environments, `[n, ...]`; some are computed only when asked for."""
        return np.asarray(self.infos[name])[self.active]


Actions = NDArray[np.int64]
Actor = Callable[[BatchStep], Actions]
"""Chooses actions `[n]` for a step."""


def network_actor(policy: torch.nn.Module, mode: str = "sampled") -> Actor:
    """An actor that samples from a network's distribution, or takes its most likely action.

    Sampling inverts the distribution function at the step's noise: two policies with equal
    distributions take equal actions, which is what makes paired differences small.

    Args:
        policy: from uint8 frames `[n, 64, 64, 3]` to logits `[n, 15]`, or `(logits, values)`.
        mode: `sampled` or `greedy`.
    """
    import torch

    def act(step: BatchStep) -> Actions:
        with torch.inference_mode():
            logits = logits_of(policy(torch.from_numpy(np.ascontiguousarray(step.obs))))
            return sample_actions(logits, step.noise, mode)

    return act


def scripted_actor(policy: Scripted) -> Actor:
    """An actor that plays a scripted policy on the step's noise."""
    return lambda step: policy.choose(
        step.noise, step.vector, np.flatnonzero(step.active).tolist(), step.task.tolist()
    )
