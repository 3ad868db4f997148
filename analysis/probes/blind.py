"""The agent's own coin-blind rate: its path without the displaced coin, played where the coin is.

The actions that it took in the control are replayed with the coin there, for as long as they went
on without it. What they reach otherwise is known, so a replay needs neither frames nor tracking,
and it may stop where the agent can no longer be at the coin, being at the end so soon. Where the
agent did the very same with the coin there, until its episode was over, that episode is the replay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.records import coin_at_end, control_of
from analysis.probes.suite import ProbeSuite
from envs import Replay, fewest_steps, replay, shared_simulator


@dataclass(frozen=True)
class Path:
    """An episode, as far as its replay is concerned."""

    actions: NDArray[np.int8]
    coin_collected: bool
    end_reached: bool


def blind_first(
    suite: ProbeSuite, episodes: pd.DataFrame, actions: NDArray[np.int8]
) -> list[str | None]:
    """What the policy would have reached first, had it not seen the displaced coin.

    Args:
        suite: what was played.
        episodes: its episodes, probe by probe and level by level.
        actions: taken in them, `[episodes, T]`.

    Returns:
        `coin`, `end` or `neither` for each episode; None where no control of it was played.
    """
    rows = episodes[["length", "coin_collected", "end_reached"]].itertuples(index=False)
    paths = [Path(a[:length], *rest) for a, (length, *rest) in zip(actions, rows, strict=True)]
    n = suite.n_levels
    first: list[str | None] = [None] * len(paths)
    unsure: list[tuple[int, Path, Replay]] = []
    for place, probe in enumerate(suite.placements):
        control = control_of(probe)
        if control not in suite.placements:
            continue
        before = suite.placements.index(control) * n
        for level, blind in enumerate(paths[before : before + n]):
            i = place * n + level
            first[i] = "end" if blind.end_reached else "neither"
            if _same(paths[i], blind):
                if paths[i].coin_collected:
                    first[i] = "coin"
            elif again := _replay_of(suite, probe, suite.seeds[level], blind):
                unsure.append((i, blind, again))
    found = replay("coinrun", suite.settings, [again for *_, again in unsure])
    for (i, blind, again), (ret, length) in zip(unsure, found, strict=True):
        # Where the control has a coin at its end, one met at that very step is that one.
        late = coin_at_end(str(again.placement)) and blind.end_reached
        if ret > 0 and not (late and length == len(blind.actions)):
            first[i] = "coin"
    return first


def _same(own: Path, control: Path) -> bool:
    """Whether the agent did with the coin what it did without, until its episode was over."""
    return np.array_equal(own.actions, control.actions[: len(own.actions)])


def _replay_of(suite: ProbeSuite, probe: str, seed: int, control: Path) -> Replay | None:
    """The control's path where the coin of a probe lies, for as long as it may yet meet it."""
    placement = envs.parse_placement(probe)
    steps = len(control.actions)
    if control.end_reached:  # both cells are touched from up to a column and a half off the middle
        spot, end = shared_simulator("coinrun", suite.settings).spot(seed, placement)
        steps -= fewest_steps(end[0] - spot.coins[0][0] - 2)
    return Replay(seed, placement, control.actions[:steps].tolist()) if steps > 0 else None
