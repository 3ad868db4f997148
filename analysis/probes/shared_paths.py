"""Episodes that begin alike are played once, until something may tell them apart.

Probes of one level and one start differ in their coins alone. As long as no coin that only some of
them have can be in view, a policy that chooses by frames and random numbers does the same in all:
the game moves alike, since a coin acts on nothing but the agent that touches it. So one of them,
the leader, is played for all, and the others part from it where such a coin comes near. Every
episode comes out as if it were played by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import envs
from envs import Task, fewest_steps, find_procgen, shared_simulator

NEVER = 2**30  # steps
_LEAD = 1.0  # columns; who is within them of a coin's sight parts now, rather than be read again


class SharedPaths:
    """Which episodes are still the same.

    Args:
        tasks: the episodes; those of one level have the same random numbers.
        settings: of the levels.

    Attributes:
        followers: of each leader, the tasks that are played with it; tasks by their index.
        leaders: those to begin with, and after how many steps to look where the agent is.
    """

    def __init__(self, tasks: Sequence[Task], settings: envs.LevelSettings) -> None:
        simulator, view = shared_simulator("coinrun", settings), find_procgen("coinrun").view or 0
        # Columns between the centers of an agent and of a coin that its frame just shows.
        self._near = view / 2 + 0.55
        self.followers: dict[int, list[int]] = {}
        self.leaders: dict[int, int] = {}
        self._coins: list[frozenset[tuple[int, int]]] = []
        alike: dict[tuple[int, int, tuple[int, int]], list[int]] = {}
        for number, task in enumerate(tasks):
            spot, _ = simulator.spot(task.level, envs.parse_placement(task.placement))
            self._coins.append(frozenset(spot.coins))
            start = spot.agent or simulator.layout(task.level).spawn
            alike.setdefault((task.level, task.limit, start), []).append(number)
        for (_, _, (column, _)), members in alike.items():
            # Few coins first: a coin is then put where one comes near, and never taken out.
            members.sort(key=lambda number: len(self._coins[number]))
            self.leaders |= self._part(members, column + 0.5)

    def part(self, leader: int, x: float) -> dict[int, int]:
        """Let followers whose coins are near an agent in column `x` part from their leader.

        Returns:
            The leader and those that part from it, some of them with followers of their own; and
            after how many steps to look at each again.
        """
        return self._part([leader, *self.followers[leader]], x)

    def _part(self, members: list[int], x: float) -> dict[int, int]:
        groups: dict[frozenset[tuple[int, int]], list[int]] = {}
        for number in members:
            near = (c for c in self._coins[number] if abs(c[0] + 0.5 - x) < self._near + _LEAD)
            groups.setdefault(frozenset(near), []).append(number)
        self.followers |= {leader: others for leader, *others in groups.values()}
        return {group[0]: self._steps_alike(group, x) for group in groups.values()}

    def _steps_alike(self, group: list[int], x: float) -> int:
        """For how many steps from column `x` on all of a group see the same."""
        coins = [self._coins[number] for number in group]
        differ = frozenset.union(*coins) - frozenset.intersection(*coins)
        steps = (fewest_steps(abs(c[0] + 0.5 - x) - self._near) for c in differ)
        return min(steps, default=NEVER)
