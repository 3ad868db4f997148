"""How agents and fixed behaviors are played for states, and how what was seen is kept on disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import envs
from agents import write_bytes

ENVS = 32
VIEW = 6  # columns that the agent sees to each side
_THIN = 7  # keep every 7th step of an environment, so that neighbors are less alike

Act = Callable[[np.ndarray, Any], np.ndarray]  # actions [E] for frames [E, 64, 64, 3] of a vector


class Moment(NamedTuple):
    """What E environments show, and what the step that led there brought (zeros after a reset)."""

    frames: np.ndarray
    info: dict[str, Any]
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def rollout(vector: envs.ProcgenVectorEnv, act: Act, seed: int) -> Iterator[Moment]:
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
    """Every 7th moment, so that neighbors are less alike."""
    for step, moment in enumerate(moments):
        if step % _THIN == _THIN - 1:
            yield moment


def coin_offsets(info: dict[str, Any]) -> np.ndarray:
    """From each agent to the coin, in cells, `[E, 2]`; NaN where the level has no coin."""
    coin, agent = np.asarray(info["coin_xy"], float), np.asarray(info["agent_xy"], float)
    return np.asarray(np.where(coin < 0, np.nan, coin) - agent)


def in_view(offsets: np.ndarray) -> np.ndarray:
    """Whether the agent sees what is so far away, `[E]`; never what is not there (NaN)."""
    return np.asarray(np.abs(offsets).max(axis=1) <= VIEW + 0.5)


@lru_cache(maxsize=16)
def shared_env(
    placement: str,
    settings: envs.LevelSettings,
    levels: tuple[int, int] | None,
    limit: int | None,
    num: int = ENVS,
    track: bool = True,
) -> envs.ProcgenVectorEnv:
    """One environment object for each setting: procgen leaks memory when they are destroyed."""
    return envs.make_vec(
        num, coin=placement, levels=levels, settings=settings, time_limit=limit, track=track,
        threads=torch.get_num_threads(),
    )  # fmt: skip


def cached(path: Path, collect: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays in a file, `states` (uint8) among them; collected and written where it has none.

    A file that does not read is written again. It is packed in memory, so that a full disk is one
    error and leaves nothing half written.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if arrays["states"].dtype == np.uint8:
            return arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    arrays, buffer = collect(), io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
    return arrays
