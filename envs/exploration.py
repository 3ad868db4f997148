"""Fixed behaviors that visit states for no agent's sake, and playing without end.

They depend on no policy that is studied: random actions, right and jump, and wandering in both
directions. State sets that checkpoints share are theirs, and the states that clones are trained on.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from envs.actions import LEFT, LEFT_JUMP, N_ACTIONS, RIGHT, RIGHT_JUMP
from envs.vector import ProcgenVectorEnv

ENVS = 32
"""Environments that each behavior plays at once."""
_THIN = 7  # keep every 7th step of an environment
_HOLD = 10  # steps for which the wanderer keeps a move

Act = Callable[[np.ndarray, Any], np.ndarray]
"""A behavior: actions `[E]` for frames `[E, 64, 64, 3]` of a vector environment."""


def behaviors(seed: int) -> list[Act]:
    """Random actions, right and jump, and wandering: one move held for 10 steps.

    Args:
        seed: of the random actions and of the wandering.
    """
    generator = np.random.default_rng(seed)
    moves, held = np.array([LEFT, LEFT_JUMP, RIGHT, RIGHT_JUMP]), np.zeros(ENVS, np.int64)
    clock = itertools.count()

    def wander(frames: np.ndarray, vector: Any) -> np.ndarray:
        due = (np.arange(ENVS) + next(clock)) % _HOLD == 0
        held[due] = generator.choice(moves, int(due.sum()))
        return held.copy()

    return [
        lambda frames, vector: generator.integers(0, N_ACTIONS, len(frames)),
        lambda frames, vector: np.full(len(frames), RIGHT_JUMP),
        wander,
    ]


class Moment(NamedTuple):
    """What E environments show, and what the step that led there brought (zeros after a reset)."""

    frames: np.ndarray
    info: dict[str, Any]
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def rollout(vector: ProcgenVectorEnv, act: Act, seed: int) -> Iterator[Moment]:
    """Play without end; nothing is acted on before the next moment is asked for.

    Generators of actions are shared by the rollouts of one set, so that one draw more at the end of
    a rollout would change the next one.

    Args:
        vector: E environments, reset with `seed`.
        act: actions for frames, as `envs.NetworkPolicy`.
        seed: of levels.
    """
    frames, info = vector.reset(seed=seed)
    none = np.zeros(len(frames))
    yield Moment(frames, info, none, none.astype(bool), none.astype(bool))
    while True:
        frames, rewards, terminated, truncated, info = vector.step(act(frames, vector))
        yield Moment(frames, info, rewards, terminated, truncated)


def thinned(moments: Iterator[Moment]) -> Iterator[Moment]:
    """Every 7th moment, so that neighbors are less alike.

    Args:
        moments: of episodes, in the order in which they were played.
    """
    return itertools.islice(moments, _THIN - 1, None, _THIN)
