"""Those who play probes: a network, a fixed plan, or chance, on shared random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.probes.suite import MODES
from rl_slt import InputError

Actions = NDArray[np.int64]
N_ACTIONS = 15


@dataclass(frozen=True)
class Turn:
    """One simultaneous step of n environments.

    Attributes:
        obs: frames `[n, 64, 64, 3]`.
        task: `[n]`, index of the episode being played.
        t: `[n]`, steps taken in this episode.
        noise: `[n]`, uniform on [0, 1), fixed by seed, level and t alone.
        infos: of all environments, also those that are done.
        on: which of them these n are.
        vector: the environments themselves, for policies that cheat.
    """

    obs: NDArray[np.uint8]
    task: NDArray[np.int64]
    t: NDArray[np.int64]
    noise: NDArray[np.float64]
    infos: dict[str, Any]
    on: NDArray[np.bool_]
    vector: Any = None

    def info(self, name: str) -> NDArray[Any]:
        """An info of these environments, `[n, ...]`; some are worked out only when asked for."""
        return np.asarray(self.infos[name])[self.on]


class Actor(Protocol):
    """Chooses actions `[n]`."""

    def __call__(self, turn: Turn) -> Actions:
        """Actions `[n]`."""
        ...


class NetworkActor:
    """A policy network. Sampling inverts the distribution function at the noise given.

    Two policies with equal distributions so take equal actions on equal noise, which is what
    makes paired differences small.
    """

    def __init__(self, policy: torch.nn.Module, mode: str = "sampled") -> None:
        if mode not in MODES:
            raise InputError(f"mode {mode!r}: allowed {', '.join(MODES)}")
        self.policy = policy
        self.greedy = mode == "greedy"

    def __call__(self, turn: Turn) -> Actions:
        """Sampled or most likely actions."""
        logits = logits_and_values(self.policy, turn.obs)[0]
        if self.greedy:
            return logits.argmax(axis=1)
        rising = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
        return np.asarray((rising <= turn.noise[:, None] * rising[:, -1:]).sum(axis=1))


class RandomActor:
    """Every action equally likely."""

    def __call__(self, turn: Turn) -> Actions:
        """The noise, spread over the actions."""
        return (turn.noise * N_ACTIONS).astype(np.int64)


def logits_and_values(
    policy: torch.nn.Module, obs: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Action logits `[n, A]`, and values `[n]` where the policy returns them too."""
    with torch.inference_mode():
        out = policy(torch.from_numpy(np.ascontiguousarray(obs)))
    logits, value = (out[0], out[1]) if isinstance(out, tuple) else (out, None)
    return (
        logits.double().cpu().numpy(),
        None if value is None else value.double().flatten().cpu().numpy(),
    )
