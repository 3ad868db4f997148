"""Plays episodes of many probes, many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.actors import NUM_ENVS, Actions, Actor, BatchStep
from analysis.probes.shared_paths import NEVER, SharedPaths
from envs import NOOP, Task

Floats = NDArray[np.float64]
StepCallback = Callable[[BatchStep, Actions], None]


class Rollout(NamedTuple):
    """What was played.

    Attributes:
        table: a row per task, in order: placement, level_seed, ret, length, outcome, death_cause,
            coin_collected, end_reached, first.
        actions: taken in each, `[tasks, T]`; 0 after its end.
    """

    table: pd.DataFrame
    actions: NDArray[np.int8]


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
    share: bool = False,
) -> Rollout:
    """Plays each task once.

    Args:
        actor: chooses the actions.
        tasks: the episodes to play.
        settings: look and parts of the levels.
        noise: `[tasks, T]`, uniform on [0, 1); with `share` the same for all tasks of a level.
        num_envs: environments at once; results depend on it only by rounding in the network.
        every_step: let infos hold the agent's position at each step, at several times the cost.
        on_step: called with every step and the actions chosen for it.
        share: play what begins alike once (`SharedPaths`), for an actor that chooses by frames and
            noise alone.
    """
    paths = SharedPaths(tasks, settings) if share else None
    leaders = paths.leaders if paths else dict.fromkeys(range(len(tasks)), NEVER)
    played = [*leaders]  # the vector's tasks, as indices of `tasks`; more are added where some part
    look = np.full(len(tasks), NEVER)  # the step at which to see whether a task's followers part
    look[played] = [*leaders.values()]
    vector = envs.make_vec(
        min(num_envs, len(played)), tasks=[tasks[i] for i in played], settings=settings,
        stop_at_end=True, track=True if every_step else "sparse", threads=1,
    )  # fmt: skip  # one thread: suites run side by side
    obs, infos = vector.reset()
    taken = np.zeros(noise.shape, np.int8)
    ended: dict[int, dict[str, Any]] = {}
    try:
        while ((playing := vector.task) >= 0).any():
            active = playing >= 0
            if active.sum() <= vector.num_envs // 2:
                # The game steps all environments that there are. Always halved: few sizes, whose
                # library objects are used again.
                which = np.argsort(~active, kind="stable")[: vector.num_envs // 2]
                vector = vector.narrowed(which)
                obs, infos = vector.now()
                playing = vector.task
                active = playing >= 0
            task, t = np.asarray(played)[playing[active]], vector.length[active].astype(np.int64)
            if paths and (due := np.flatnonzero(look[task] <= t)).size:
                for i, env in zip(due, np.flatnonzero(active)[due], strict=True):
                    parted = paths.part(task[i], vector.agent_x(env))
                    look[[*parted]] = t[i] + np.array([*parted.values()])
                    if new := [number for number in parted if number != task[i]]:
                        taken[new, : t[i]] = taken[task[i], : t[i]]
                        vector.branch(env, [tasks[number].placement for number in new])
                        played += new
                obs, infos = vector.now()
                continue
            step = BatchStep(obs if active.all() else obs[active], task, t,
                             noise[task, t], infos, active, vector)  # fmt: skip
            actions = actor(step)
            taken[task, t] = actions
            if on_step is not None:
                on_step(step, actions)
            every = np.full(vector.num_envs, NOOP)
            every[active] = actions
            obs, _, terminated, truncated, infos = vector.step(every)
            for i in np.flatnonzero((terminated | truncated) & active):
                final = {key: value[i] for key, value in infos["final_info"].items()}
                ended[played[playing[i]]] = _episode(final)
    finally:
        vector.close()
    for leader, followers in paths.followers.items() if paths else ():
        for follower in followers:
            ended[follower], taken[follower] = ended[leader], taken[leader]
    rows = pd.DataFrame([ended[i] for i in range(len(tasks))])
    rows.insert(0, "placement", [task.placement for task in tasks])
    rows.insert(1, "level_seed", [task.level for task in tasks])
    return Rollout(rows, taken)


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
