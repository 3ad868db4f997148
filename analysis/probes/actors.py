"""What chooses actions in probes: a network, or a baseline, on shared random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import (
    N_ACTIONS,
    RIGHT_JUMP,
    CoinSeekerPolicy,
    ProcgenVectorEnv,
    logits_of,
    sample_actions,
)

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


def random_actor(step: BatchStep) -> Actions:
    """Every action equally likely."""
    return (step.noise * N_ACTIONS).astype(np.int64)


def coin_blind_actor(step: BatchStep) -> Actions:
    """Always right and jump, whatever it sees."""
    return np.full(len(step.obs), RIGHT_JUMP, np.int64)


def coin_seeker_actor() -> Actor:
    """An actor that looks ahead in copies of the state; see `envs.CoinSeekerPolicy`."""
    policy = CoinSeekerPolicy()

    def act(step: BatchStep) -> Actions:
        pairs = zip(np.flatnonzero(step.active).tolist(), step.task.tolist(), strict=True)
        return np.array([policy.act(step.vector, index, task) for index, task in pairs])

    return act


class Baseline(NamedTuple):
    """A scripted policy: a fresh actor of it, and how many environments it plays at once."""

    actor: Callable[[], Actor]
    num_envs: int = NUM_ENVS


BASELINES = {
    "coin-blind": Baseline(lambda: coin_blind_actor),
    "random": Baseline(lambda: random_actor),
    "coin-seeker": Baseline(coin_seeker_actor, 8),  # plans for each alone, also for those done
}
