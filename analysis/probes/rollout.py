"""Plays episodes of many probes, many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.actors import Actor, Turn
from analysis.probes.suite import ProbeSuite
from envs.tasks import Task
from envs.vector import ProcgenVectorEnv

NUM_ENVS = 64
_NOOP = 4

Floats = NDArray[np.float64]
Row = dict[str, Any]
Watch = Callable[[Turn, NDArray[np.int64]], None]
Then = Callable[[int, Row], list[Task]]


def shared_noise(suite: ProbeSuite, seed: int) -> Floats:
    """Uniform numbers `[levels, time_limit]`, each row fixed by seed and level seed alone."""
    return np.stack(
        [np.random.default_rng([seed, level]).random(suite.time_limit) for level in suite.seeds]
    )


def play(
    actor: Actor,
    tasks: Sequence[Task],
    settings: envs.LevelSettings,
    noise: Floats,
    *,
    num_envs: int = NUM_ENVS,
    every_step: bool = False,
    watch: Watch | None = None,
    then: Then | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Plays each task once.

    Args:
        actor: chooses the actions.
        tasks: the episodes to play.
        settings: look and parts of the levels.
        noise: `[tasks, T]`, uniform on [0, 1); tasks that `then` adds have none.
        num_envs: environments at once; results depend on it only by rounding in the network.
        every_step: let infos hold the agent's position at each step, at several times the cost.
        watch: called with every turn and the actions chosen for it.
        then: called with every task that ended and its row; it may name further tasks, which are
            numbered on.
        progress: called with tasks done and tasks in all, of those given.

    Returns:
        A row per task given, in order: placement, level_seed, ret, length, outcome, death_cause,
        coin_collected, end_reached, first.
    """
    vector = envs.make_vec(
        min(num_envs, len(tasks)), tasks=tasks, settings=settings, stop_at_end=True,
        track=True if every_step else "sparse",
    )  # fmt: skip
    game = _Stage(vector, then)
    try:
        while game.playing.any():
            turn = game.turn(noise)
            actions = actor(turn)
            if watch is not None:
                watch(turn, actions)
            if game.step(actions) and progress is not None:
                progress(sum(task < len(tasks) for task in game.rows), len(tasks))
    finally:
        game.vector.close()
    rows = pd.DataFrame([game.rows[i] for i in range(len(tasks))])
    rows.insert(0, "placement", [task.placement for task in tasks])
    rows.insert(1, "level_seed", [task.level for task in tasks])
    return rows


class _Stage:
    """The environments, and the episodes seen to end so far."""

    def __init__(self, vector: ProcgenVectorEnv, then: Then | None) -> None:
        self.vector, self.then = vector, then
        self.obs, self.infos = vector.reset()
        self.t = np.zeros(vector.num_envs, dtype=np.int64)
        self.rows: dict[int, Row] = {}

    @property
    def playing(self) -> NDArray[np.bool_]:
        """Which environments have an episode to play."""
        return np.asarray(self.vector.task >= 0)

    def turn(self, noise: Floats) -> Turn:
        """What the environments still playing show."""
        on = self.playing
        task, t = self.vector.task[on], self.t[on]
        given = task < len(noise)
        numbers = np.full(len(task), np.nan)
        numbers[given] = noise[task[given], t[given]]
        obs = self.obs if on.all() else self.obs[on]
        return Turn(obs, task, t, numbers, self.infos, on, self.vector)

    def step(self, actions: NDArray[np.int64]) -> bool:
        """Plays these actions where an episode is on; whether any episode ended."""
        tasks, every = self.vector.task, np.full(self.vector.num_envs, _NOOP)
        every[tasks >= 0] = actions
        self.obs, _, terminated, truncated, self.infos = self.vector.step(every)
        self.t += 1
        self.t[terminated | truncated] = 0
        done = np.flatnonzero((terminated | truncated) & (tasks >= 0))
        if not len(done):
            return False
        more: list[Task] = []
        for i in done:
            final = {key: value[i] for key, value in self.infos["final_info"].items()}
            task, row = int(tasks[i]), ended(final)
            self.rows[task] = row
            if self.then is not None:
                more += self.then(task, row)
        if more:
            begun = self.vector.extend(more)
            self.obs, self.t[begun] = self.vector.frames, 0
        return True


def ended(final: dict[str, Any]) -> Row:
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
