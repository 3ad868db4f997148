"""Plays episodes of many probes, many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.actors import NUM_ENVS, Actions, Actor, BatchStep
from envs import NOOP, Task

Floats = NDArray[np.float64]
StepCallback = Callable[[BatchStep, Actions], None]


def shared_noise(levels: Sequence[int], steps: int, seed: int) -> Floats:
    """Uniform numbers `[levels, steps]`, each row fixed by seed and level seed alone."""
    return np.stack([np.random.default_rng([seed, level]).random(steps) for level in levels])


def rollout(
    actor: Actor,
    tasks: Sequence[Task],
    settings: envs.LevelSettings,
    noise: Floats,
    *,
    num_envs: int = NUM_ENVS,
    every_step: bool = False,
    on_step: StepCallback | None = None,
) -> pd.DataFrame:
    """Plays each task once.

    Args:
        actor: chooses the actions.
        tasks: the episodes to play.
        settings: look and parts of the levels.
        noise: `[tasks, T]`, uniform on [0, 1).
        num_envs: environments at once; results depend on it only by rounding in the network.
        every_step: let infos hold the agent's position at each step, at several times the cost.
        on_step: called with every step and the actions chosen for it.

    Returns:
        A row per task, in order: placement, level_seed, ret, length, outcome, death_cause,
        coin_collected, end_reached, first.
    """
    vector = envs.make_vec(
        min(num_envs, len(tasks)), tasks=tasks, settings=settings, stop_at_end=True,
        track=True if every_step else "sparse", threads=1,  # suites run side by side
    )  # fmt: skip
    obs, infos = vector.reset()
    t = np.zeros(vector.num_envs, dtype=np.int64)
    ended: dict[int, dict[str, Any]] = {}
    try:
        while ((playing := vector.task) >= 0).any():
            active = playing >= 0
            if active.sum() <= vector.num_envs // 2:
                # The game steps all environments that there are. Always halved: few sizes, whose
                # library objects are used again.
                which = np.argsort(~active, kind="stable")[: vector.num_envs // 2]
                vector, t, playing = vector.narrowed(which), t[which], playing[which]
                (obs, infos), active = vector.now(), playing >= 0
            task = playing[active]
            step = BatchStep(obs if active.all() else obs[active], task, t[active],
                             noise[task, t[active]], infos, active, vector)  # fmt: skip
            actions = actor(step)
            if on_step is not None:
                on_step(step, actions)
            every = np.full(vector.num_envs, NOOP)
            every[active] = actions
            obs, _, terminated, truncated, infos = vector.step(every)
            t = np.where(terminated | truncated, 0, t + 1)
            for i in np.flatnonzero((terminated | truncated) & active):
                final = {key: value[i] for key, value in infos["final_info"].items()}
                ended[int(playing[i])] = _episode(final)
    finally:
        vector.close()
    rows = pd.DataFrame([ended[i] for i in range(len(tasks))])
    rows.insert(0, "placement", [task.placement for task in tasks])
    rows.insert(1, "level_seed", [task.level for task in tasks])
    return rows


def _episode(final: dict[str, Any]) -> dict[str, Any]:
    """Row of an episode from its last infos."""
    coin, end = bool(final["coin_collected"]), bool(final["end_reached"])
    return {
        "ret": float(final["ret"]),
        "length": int(final["length"]),
        "outcome": str(final["outcome"]),
        "death_cause": final["death_cause"] or None,
        "coin_collected": coin,
        "end_reached": end,
        "first": "coin" if coin else "end" if end else "neither",
    }
