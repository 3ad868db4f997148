"""The agent's own coin-blind rate: its path without the displaced coin, played where the coin is.

The actions that it took in the control are replayed with the coin there, for as long as they went
on without it, in the same batch as the episodes still to play. What they reach otherwise is
known, so a replay need be neither seen nor followed. Where the agent did the very same with the
coin there, until its episode was over, that episode is the replay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.probes.actors import Actor, Turn
from analysis.probes.rollout import Row
from analysis.probes.suite import ProbeSuite, coin_at_end, control_of
from envs.tasks import Task

_NOOP = 4


@dataclass(frozen=True)
class Pair:
    """Numbers of two tasks: a probe with a displaced coin, and its control on the same level."""

    probe: int
    control: int


class BlindPaths:
    """An actor that plays a suite and replays its own control paths; `then` says which.

    Tasks 0 to n - 1 are the suite's, probe by probe and level by level; others are replays.
    """

    def __init__(self, actor: Actor, suite: ProbeSuite) -> None:
        self._actor, self._suite = actor, suite
        self._n = len(suite.placements) * suite.n_levels
        self._actions = np.full((self._n, suite.time_limit), _NOOP, np.int8)
        self._pairs: dict[int, list[Pair]] = {}  # by each of their tasks
        for pair in _pairs(suite):
            self._pairs.setdefault(pair.probe, []).append(pair)
            self._pairs.setdefault(pair.control, []).append(pair)
        self._rows: dict[int, Row] = {}
        self._replays: list[Pair] = []
        self.first: dict[int, str] = {}  # what the blind path reaches first, by the probe's task

    def __call__(self, turn: Turn) -> NDArray[np.int64]:
        """The agent's actions in the suite's tasks, the recorded ones in the replays."""
        own = turn.task < self._n
        if own.all():
            actions = self._actor(turn)
            self._actions[turn.task, turn.t] = actions
            return actions
        actions = np.empty(len(own), np.int64)
        if own.any():
            actions[own] = self(turn.of(own))
        sources = [self._replays[task - self._n].control for task in turn.task[~own].tolist()]
        actions[~own] = self._actions[sources, turn.t[~own]]
        return actions

    def then(self, task: int, row: Row) -> list[Task]:
        """Replays to be played now that a task has ended like that."""
        if task >= self._n:
            self._tell(self._replays[task - self._n], row)
            return []
        self._rows[task] = row
        both = [pair for pair in self._pairs.get(task, ())
                if pair.probe in self._rows and pair.control in self._rows]  # fmt: skip
        new = [pair for pair in both if not self._same(pair)]
        for pair in both:
            if pair not in new:
                self._tell(pair, self._rows[pair.probe])
        self._replays += new
        return [self._task(pair) for pair in new]

    def _same(self, pair: Pair) -> bool:
        """Whether the agent did with the coin what it did without, until its episode was over."""
        steps = int(self._rows[pair.probe]["length"])
        mine, control = self._actions[pair.probe, :steps], self._actions[pair.control, :steps]
        return steps <= self._rows[pair.control]["length"] and np.array_equal(mine, control)

    def _task(self, pair: Pair) -> Task:
        place, level = divmod(pair.probe, self._suite.n_levels)
        return Task(self._suite.placements[place], self._suite.seeds[level],
                    int(self._rows[pair.control]["length"]), follow=False, see=False)  # fmt: skip

    def _tell(self, pair: Pair, row: Row) -> None:
        """Where the control has a coin at its end, one met at that very step is that one."""
        control = self._rows[pair.control]
        met = row["coin_collected"]
        if row is not self._rows[pair.probe]:
            probe = self._suite.placements[pair.probe // self._suite.n_levels]
            late = coin_at_end(probe) and control["end_reached"]
            met = row["outcome"] == "coin" and not (late and row["length"] == control["length"])
        end = control["end_reached"]
        self.first[pair.probe] = "coin" if met else "end" if end else "neither"


def _pairs(suite: ProbeSuite) -> list[Pair]:
    places, n = suite.placements, suite.n_levels
    return [
        Pair(places.index(probe) * n + level, places.index(control) * n + level)
        for probe in places
        if (control := control_of(probe)) in places
        for level in range(n)
    ]
