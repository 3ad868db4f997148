"""States that no trained policy chose: what scripted ones come by on held-out levels.

Counterfactual and internal probes look at the same states for every policy, checkpoint and run.
A quarter of the levels each is visited by chance, by a policy that holds right and jump, and by
coin-seekers whose coin lies behind their start and on the ground. So there are agents at rest and
in the air, on their way left and right, early in a level and in its middle.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.probes.actors import Turn
from analysis.probes.rollout import play, shared_noise
from analysis.probes.run import BASELINES
from analysis.probes.suite import ProbeSuite
from envs import Task

VISITORS = (
    ("none@mid", "random"), ("none@mid", "coin-blind"),
    ("behind", "coin-seeker"), ("ground", "coin-seeker"),
)  # fmt: skip
STEPS = 40  # of an episode that a state is drawn from


def visited_states(suite: ProbeSuite, seed: int = 0) -> dict[int, bytes]:
    """One game state from each of the suite's levels, drawn evenly from a visit's steps.

    Args:
        suite: levels and their look.
        seed: of the visitors' actions and of the draw.

    Returns:
        Level seed to procgen state, coin and all; by level.
    """
    found: dict[int, bytes] = {}
    noise = shared_noise(replace(suite, time_limit=STEPS), seed)
    for turn, (placement, name) in enumerate(VISITORS):
        levels, mine = suite.seeds[turn :: len(VISITORS)], noise[turn :: len(VISITORS)]
        if not len(levels):
            continue
        keep = _Keep(np.random.default_rng([seed, turn]).random(mine.shape))
        actor, num_envs = BASELINES[name]
        tasks = [Task(placement, level, STEPS) for level in levels]
        play(actor(), tasks, suite.settings, mine, num_envs=num_envs, watch=keep)
        found |= {levels[task]: state for task, state in keep.states.items()}
    return {level: found[level] for level in suite.seeds}


class _Keep:
    """Keeps one state of each episode, any of its steps as likely (a reservoir of one)."""

    def __init__(self, chance: NDArray[np.float64]) -> None:
        self.chance = chance
        self.states: dict[int, bytes] = {}

    def __call__(self, turn: Turn, actions: NDArray[np.int64]) -> None:
        """The step number t takes the place of the one kept with probability 1 / (t + 1)."""
        takes = self.chance[turn.task, turn.t] * (turn.t + 1) < 1
        where = np.flatnonzero(turn.on)
        for row in np.flatnonzero(takes).tolist():
            self.states[int(turn.task[row])] = turn.vector.game_state(int(where[row]))
