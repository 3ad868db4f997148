"""Episodes that are played once for several probes come out as if played one by one."""

import numpy as np
import pandas as pd
import pytest
import torch

import envs
from analysis.probes import SUITES
from analysis.probes.actors import Actor, BatchStep, network_actor, scripted_actor
from analysis.probes.rollout import rollout, shared_noise
from analysis.probes.shared_paths import SharedPaths
from envs import CoinBlindPolicy, RandomPolicy, Task

PLACES = ("none", "end", "ground", "section", "both", "none@mid", "end@mid", "ground@mid", "behind")
N, LIMIT = 12, 50


class Touchy(torch.nn.Module):
    """Reacts to every single pixel: its distribution is a hash of the frame, mostly rightward."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randint(0, 7, (64 * 64 * 3,), generator=generator).double()

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        hashed = (obs.flatten(1).double() @ self.weights) % 7
        logits = torch.zeros(len(obs), 15)
        logits[:, 8], logits[:, 7], logits[:, 1] = 3.0, 2.0, hashed
        return logits


@pytest.mark.parametrize("settings", [envs.PLAIN_FLAT, envs.LevelSettings()], ids=["flat", "stock"])
@pytest.mark.parametrize(
    "actor",
    [network_actor(Touchy()), scripted_actor(RandomPolicy())],
    ids=["touchy", "random"],
)
@pytest.mark.parametrize("num_envs", [128, 9])
def test_shared_episodes_are_those_played_one_by_one(
    actor: Actor, settings: envs.LevelSettings, num_envs: int
) -> None:
    """Also under a policy that one pixel of a coin would lead elsewhere, and in few games."""
    seeds = SUITES["demo"].seeds[:N]
    tasks = [Task(place, level, LIMIT) for place in PLACES for level in seeds]
    noise = np.tile(shared_noise(seeds, LIMIT, 0), (len(PLACES), 1))
    steps = 0

    def counted(step: BatchStep) -> np.ndarray:
        nonlocal steps
        steps += len(step.task)
        return actor(step)

    alone = rollout(counted, tasks, settings, noise)
    separate, steps = steps, 0
    together = rollout(counted, tasks, settings, noise, num_envs=num_envs, share=True)
    pd.testing.assert_frame_equal(together.table, alone.table)
    np.testing.assert_array_equal(together.actions, alone.actions)
    assert separate == alone.table["length"].sum()
    assert steps < 0.85 * separate
    assert {"coin", "timeout"} <= set(alone.table["outcome"])


def test_unseen_frames_change_no_episode_of_who_does_not_look() -> None:
    seeds = SUITES["demo"].seeds[:N]
    noise = np.tile(shared_noise(seeds, LIMIT, 0), (len(PLACES), 1))
    drawn, unseen = (
        rollout(
            scripted_actor(CoinBlindPolicy()),
            [Task(place, level, LIMIT, seen) for place in PLACES for level in seeds],
            envs.PLAIN_FLAT, noise, share=not seen,
        ).table
        for seen in (True, False)
    )  # fmt: skip
    pd.testing.assert_frame_equal(drawn, unseen)


def test_those_part_whose_coins_may_be_in_view() -> None:
    """One level, coins by hand: columns 3, 12 and 20, the agent at 1.5, then 4.5, then 13."""
    spots = ["none", "at=3,1", "at=12,1", "at=20,1"]
    level = next(s for s in range(500) if _is_long(s))
    paths = SharedPaths([Task(text, level, 99) for text in spots], envs.PLAIN_FLAT)
    # 12.5 - 1.5 columns, of which 7.05 can be seen, at half a column a step
    assert paths.leaders == {0: 7, 1: 2**30} and paths.followers[0] == [2, 3]
    assert paths.part(0, 3.0) == {0: 4} and paths.followers[0] == [2, 3]
    assert paths.part(0, 5.0) == {0: 16, 2: 2**30} and paths.followers == {0: [3], 1: [], 2: []}
    assert paths.part(0, 13.0) == {0: 2**30, 3: 2**30}


def _is_long(seed: int) -> bool:
    layout = envs.shared_simulator("coinrun", envs.PLAIN_FLAT).layout(seed)
    return {(3, 1), (12, 1), (20, 1)} <= {*layout.coin_cells}
