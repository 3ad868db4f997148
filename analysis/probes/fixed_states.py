"""States for the fixed-state probes: what scripted policies visit on held-out levels.

The counterfactual and the linear probe look at the same states for every policy, checkpoint and
run. A quarter of the levels each is visited by random actions, by a policy that holds right and
jump, and by coin-seekers whose coin lies behind their start and on the ground. So there are agents
at rest and in the air, on their way left and right, early in a level and in its middle.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.actors import Actions, BatchStep, scripted_actor
from analysis.probes.rollout import rollout, shared_noise
from analysis.probes.suite import ProbeSuite
from envs import SCRIPTED, Task, agent_of, shared_simulator

VISITORS = (
    ("none@mid", "random"), ("none@mid", "coin-blind"),
    ("behind", "coin-seeker"), ("ground", "coin-seeker"),
)  # fmt: skip
STEPS = 40  # of an episode that a state is drawn from
NEAR, VIEW_COLUMNS, VIEW_ROWS = 2, 6, 5  # how far from the agent's cell coins are put


@dataclass(frozen=True, eq=False)
class FixedStates:
    """Frames of the same states with the coin in different places.

    Attributes:
        frames: `[N, 64, 64, 3]`.
        table: `[N]` rows: level_seed, condition (`none`, `moved`, `end`), dx and dy, the coin's
            place relative to the agent's cell (NaN where there is no coin).
    """

    frames: NDArray[np.uint8]
    table: pd.DataFrame

    def to_bytes(self) -> bytes:
        """A compressed NumPy archive of frames and table; see `from_bytes`."""
        columns = {name: self.table[name].to_numpy() for name in ("level_seed", "dx", "dy")}
        condition = self.table["condition"].to_numpy().astype("U")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, frames=self.frames, condition=condition, **columns)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> FixedStates:
        """The states of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            names = ("level_seed", "condition", "dx", "dy")
            table = pd.DataFrame({name: stored[name] for name in names})
            return FixedStates(stored["frames"], table)


def collect_fixed_states(suite: ProbeSuite, seed: int = 0) -> FixedStates:
    """Visited states under every placement of the coin in view.

    Conditions: no coin; the coin on each column within 6 columns and 5 rows of the agent where
    one can lie, other than the agent's own and its neighbors; the coin at the end, if in view.

    Args:
        suite: held-out levels, one state on each, and their look; its probes and its limit do
            not matter.
        seed: of the visits.
    """
    states, rows = [], []
    for level, state in _visited(suite, seed).items():
        for condition, cell, away in _conditions(suite, level, state):
            states.append(envs.move_coin(state, cell))
            rows.append((level, condition, *away))
    table = pd.DataFrame(rows, columns=["level_seed", "condition", "dx", "dy"])
    return FixedStates(envs.render_states(states, suite.settings), table)


def _conditions(
    suite: ProbeSuite, level: int, state: bytes
) -> Iterator[tuple[str, tuple[int, int] | None, tuple[float, float]]]:
    """Condition, cell of the coin, and how far that is from the agent."""
    layout = shared_simulator("coinrun", suite.settings).layout(level)
    x, y = (int(value) for value in agent_of(state))
    yield "none", None, (np.nan, np.nan)
    cells = [("moved", cell) for cell in layout.coin_cells]
    for condition, cell in [*cells, ("end", layout.end)]:
        dx, dy = cell[0] - x, cell[1] - y
        if NEAR <= abs(dx) <= VIEW_COLUMNS and abs(dy) <= VIEW_ROWS:
            yield condition, cell, (dx, dy)


def _visited(suite: ProbeSuite, seed: int) -> dict[int, bytes]:
    """One game state from each of the suite's levels, drawn evenly from a visit's steps.

    Args:
        suite: levels and their look.
        seed: of the visitors' actions and of the draw.

    Returns:
        Level seed to procgen state, coin and all; by level.
    """
    found: dict[int, bytes] = {}
    for index, (placement, name) in enumerate(VISITORS):
        levels = suite.seeds[index :: len(VISITORS)]
        if not levels:
            continue
        chance = np.random.default_rng([seed, index]).random((len(levels), STEPS))

        def keep(
            step: BatchStep, actions: Actions, levels: tuple[int, ...] = levels,
            chance: NDArray[np.float64] = chance,
        ) -> None:  # fmt: skip
            """A reservoir of one: step number t replaces the kept one with chance 1 / (t + 1)."""
            replaces = chance[step.task, step.t] * (step.t + 1) < 1
            where = np.flatnonzero(step.active)
            for row in np.flatnonzero(replaces).tolist():
                found[levels[step.task[row]]] = step.vector.game_state(int(where[row]))

        tasks = [Task(placement, level, STEPS) for level in levels]
        policy = SCRIPTED[name](seed)
        noise = shared_noise(levels, STEPS, seed)
        rollout(scripted_actor(policy), tasks, suite.settings, noise, num_envs=policy.num_envs,
                on_step=keep)  # fmt: skip
    return {level: found[level] for level in suite.seeds}
