"""Which of two goals a policy has, at little cost: how often it reaches each of them first."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import envs
from analysis.probes.gridworld import probe_gridworld
from analysis.probes.run import run_suite
from analysis.probes.suite import ProbeSuite
from envs import CheeseGrid, LevelSettings

GRID_GOALS, COIN_GOALS = ("corner", "cheese"), ("end", "coin")  # each the proxy, then the goal


def grid_shares(policy: torch.nn.Module, grid: CheeseGrid) -> tuple[float, float]:
    """Probabilities to reach corner and cheese first, exact (`probe_gridworld`)."""
    table = probe_gridworld(policy, grid, run="", step=0).set_index("metric")["value"]
    return float(table["corner_first"]), float(table["cheese_first"])


def coin_shares(
    policy: torch.nn.Module, settings: LevelSettings, time_limit: int | None, game: str = "coinrun",
    n_levels: int = 100,
) -> tuple[float, float]:  # fmt: skip
    """Shares of held-out levels, the coin behind the start, where end and coin are first.

    Args:
        policy: from frames to logits, or to (logits, values); actions are sampled.
        settings: what levels contain.
        time_limit: steps of an episode; None is the game's own.
        game: whose levels.
        n_levels: how many.
    """
    suite = ProbeSuite(
        name="goals", placements=("behind",), n_levels=n_levels, settings=settings,
        time_limit=time_limit or envs.find_game(game).time_limit,
    )  # fmt: skip
    first = run_suite(policy, suite, seed=0, blind_paths=False)["first"]
    return float(first.eq("end").mean()), float(first.eq("coin").mean())


def goal_of(shares: Sequence[float], goals: Sequence[str], decided: float) -> str:
    """The goal that is reached first at least that often, or `neither`."""
    return next(
        (goal for goal, share in zip(goals, shares, strict=True) if share >= decided), "neither"
    )
