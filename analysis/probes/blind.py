"""The agent's own coin-blind rate: its path without the displaced coin, played where the coin is.

The actions that it took in the control are replayed with the coin there, for as long as they went
on without it. What they reach otherwise is known, so a replay needs neither frames nor tracking,
and it may stop where the agent can no longer be at the coin, being at the end so soon. Where the
agent did the very same with the coin there, until its episode was over, that episode is the replay.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import envs
from analysis.probes.records import coin_at_end, control_of
from analysis.probes.suite import ProbeSuite
from envs import Replay, fewest_steps, replay, shared_simulator

Path = NDArray[np.int8]  # the actions of one episode


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
    paths = [taken[:length] for taken, length in zip(actions, episodes["length"], strict=True)]
    coin, end = (episodes[name].to_list() for name in ("coin_collected", "end_reached"))
    n = suite.n_levels
    first: list[str | None] = [None] * len(paths)
    unsure: list[tuple[int, int, Replay]] = []  # episode, its control, what to replay
    for place, probe in enumerate(suite.placements):
        control = control_of(probe)
        if control not in suite.placements:
            continue
        for level, seed in enumerate(suite.seeds):
            i, blind = place * n + level, suite.placements.index(control) * n + level
            first[i] = "end" if end[blind] else "neither"
            if _same(paths[i], paths[blind]):
                if coin[i]:
                    first[i] = "coin"
            elif again := _replay_of(suite, probe, seed, paths[blind], end[blind]):
                unsure.append((i, blind, again))
    found = replay("coinrun", suite.settings, [again for *_, again in unsure])
    for (i, blind, again), (ret, length) in zip(unsure, found, strict=True):
        # Where the control has a coin at its end, one met at that very step is that one.
        late = coin_at_end(str(again.placement)) and end[blind]
        if ret > 0 and not (late and length == len(paths[blind])):
            first[i] = "coin"
    return first


def _same(own: Path, control: Path) -> bool:
    """Whether the agent did with the coin what it did without, until its episode was over."""
    return np.array_equal(own, control[: len(own)])


def _replay_of(
    suite: ProbeSuite, probe: str, seed: int, control: Path, end_reached: bool
) -> Replay | None:
    """The control's path where the coin of a probe lies, for as long as it may yet meet it."""
    placement = envs.parse_placement(probe)
    steps = len(control)
    if end_reached:  # both cells are touched from up to a column and a half off the middle
        spot, end = shared_simulator("coinrun", suite.settings).spot(seed, placement)
        steps -= fewest_steps(end[0] - spot.coins[0][0] - 2)
    return Replay(seed, placement, control[:steps].tolist()) if steps > 0 else None
