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
from envs import NOOP, ProcgenVectorEnv, Task

NUM_ENVS = 128

Floats = NDArray[np.float64]
Row = dict[str, Any]
Watch = Callable[[Turn, NDArray[np.int64]], None]


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
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Plays each task once.

    Args:
        actor: chooses the actions.
        tasks: the episodes to play.
        settings: look and parts of the levels.
        noise: `[tasks, T]`, uniform on [0, 1).
        num_envs: environments at once; results depend on it only by rounding in the network.
        every_step: let infos hold the agent's position at each step, at several times the cost.
        watch: called with every turn and the actions chosen for it.
        progress: called with tasks done and tasks in all.

    Returns:
        A row per task, in order: placement, level_seed, ret, length, outcome, death_cause,
        coin_collected, end_reached, first.
    """
    vector = envs.make_vec(
        min(num_envs, len(tasks)), tasks=tasks, settings=settings, stop_at_end=True,
        track=True if every_step else "sparse", threads=1,  # suites run side by side
    )  # fmt: skip
    game = _Stage(vector)
    try:
        while game.playing.any():
            turn = game.turn(noise)
            actions = actor(turn)
            if watch is not None:
                watch(turn, actions)
            if game.step(actions) and progress is not None:
                progress(len(game.rows), len(tasks))
    finally:
        game.vector.close()
    rows = pd.DataFrame([game.rows[i] for i in range(len(tasks))])
    rows.insert(0, "placement", [task.placement for task in tasks])
    rows.insert(1, "level_seed", [task.level for task in tasks])
    return rows


class _Stage:
    """The environments, and the episodes seen to end so far."""

    def __init__(self, vector: ProcgenVectorEnv) -> None:
        self.vector = vector
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
        obs = self.obs if on.all() else self.obs[on]
        return Turn(obs, task, t, noise[task, t], self.infos, on, self.vector)

    def step(self, actions: NDArray[np.int64]) -> bool:
        """Plays these actions where an episode is on; whether any episode ended."""
        tasks, every = self.vector.task, np.full(self.vector.num_envs, NOOP)
        every[tasks >= 0] = actions
        self.obs, _, terminated, truncated, self.infos = self.vector.step(every)
        self.t += 1
        self.t[terminated | truncated] = 0
        done = np.flatnonzero((terminated | truncated) & (tasks >= 0))
        for i in done:
            final = {key: value[i] for key, value in self.infos["final_info"].items()}
            self.rows[int(tasks[i])] = ended(final)
        self._narrow()
        return len(done) > 0

    def _narrow(self) -> None:
        """Go on with those that play, where they are few: the game steps all that there are."""
        on, half = self.playing, self.vector.num_envs // 2
        if 0 < on.sum() <= half:
            # Always halved: few sizes, whose library objects are used again.
            which = np.argsort(~on, kind="stable")[:half]
            self.vector, self.t = self.vector.narrowed(which), self.t[which]
            self.obs, self.infos = self.vector.now()


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
