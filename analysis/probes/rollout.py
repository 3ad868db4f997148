"""Plays one episode on each level of a probe, many environments at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.probes.actors import Actor, Turn
from analysis.probes.suite import ProbeSuite
from analysis.probes.tracking import probe_env

NUM_ENVS = 64
_NOOP = 4
_LAST = ("outcome", "death_cause", "coin_collected", "end_reached")

Watch = Callable[[Turn, NDArray[np.int64]], None]


def shared_noise(suite: ProbeSuite, seed: int) -> NDArray[np.float64]:
    """Uniform numbers `[levels, time_limit]`, each row fixed by seed and level seed alone."""
    return np.stack(
        [np.random.default_rng([seed, level]).random(suite.time_limit) for level in suite.seeds]
    )


def play(
    actor: Actor,
    placement: str,
    suite: ProbeSuite,
    noise: NDArray[np.float64],
    *,
    num_envs: int = NUM_ENVS,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """One episode per level of the suite.

    Args:
        actor: chooses the actions.
        placement: of coin and start, as text.
        suite: levels, limits and look.
        noise: from `shared_noise`.
        num_envs: environments at once; results depend on it only by rounding in the network.
        watch: called with every turn and the actions chosen for it.

    Returns:
        A row per level, in their order: level_seed, ret, length, outcome, death_cause,
        coin_collected, end_reached, first.
    """
    game = _Stage(placement, suite, min(num_envs, suite.n_levels), actor.needs_track)
    try:
        while game.playing.any():
            turn = game.turn(noise)
            actions = actor(turn)
            if watch is not None:
                watch(turn, actions)
            game.step(actions)
    finally:
        game.vector.close()
    return pd.DataFrame(game.rows).sort_values("level_seed", ignore_index=True)


class _Stage:
    """A vector environment that deals the levels out once, and the episodes it has seen end."""

    def __init__(self, placement: str, suite: ProbeSuite, num_envs: int, track: bool) -> None:
        self.first_level, self.n_levels = suite.levels[0], suite.n_levels
        self.vector = probe_env(placement, suite, num_envs, every_step=track)
        self.obs, self.infos = self.vector.reset()
        self.playing = np.ones(num_envs, dtype=bool)
        self.dealt = num_envs
        self.t = np.zeros(num_envs, dtype=np.int64)
        self.ret = np.zeros(num_envs)
        self.rows: list[dict[str, object]] = []

    def turn(self, noise: NDArray[np.float64]) -> Turn:
        """What the environments still playing show."""
        on = self.playing
        level = self.infos["level_seed"][on].astype(np.int64) - self.first_level
        t = self.t[on]
        return Turn(self.obs[on], level, t, noise[level, t], self.infos, on, self.vector)

    def step(self, actions: NDArray[np.int64]) -> None:
        """Plays these actions where an episode is on; keeps a row of each that ends."""
        every = np.full(len(self.playing), _NOOP)
        every[self.playing] = actions
        levels = self.infos["level_seed"].copy()
        self.obs, reward, terminated, truncated, self.infos = self.vector.step(every)
        self.t += 1
        self.ret += reward
        done = terminated | truncated
        for i in np.flatnonzero(done & self.playing):
            self.rows.append(self._row(i, int(levels[i])))
            self.playing[i] = self.dealt < self.n_levels
            self.dealt += 1
        self.t[done], self.ret[done] = 0, 0.0

    def _row(self, i: int, level: int) -> dict[str, object]:
        final = self.infos["final_info"]
        last = {key: final[key][i] for key in _LAST if key in final}
        return {"level_seed": level, "ret": self.ret[i], "length": self.t[i]} | ended(last)


def ended(final: dict[str, Any]) -> dict[str, object]:
    """How an episode ended, and what was reached first, from its last infos."""
    outcome = str(final["outcome"])
    coin = bool(final.get("coin_collected", outcome == "coin"))
    end = bool(final.get("end_reached", outcome in ("coin", "end")))
    return {
        "outcome": outcome,
        "death_cause": final.get("death_cause") or None,
        "coin_collected": coin,
        "end_reached": end,
        "first": "coin" if coin else "end" if end else "neither",
    }
