"""With the coin at the end the environment is stock procgen, frame by frame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import envs

Maker = Callable[..., Any]


@pytest.mark.parametrize("track", [False, True])
@pytest.mark.parametrize("levels", [None, (20, 25)])
def test_same_frames_rewards_and_levels_as_raw_procgen(
    raw: Maker, actions_for: Maker, levels: tuple[int, int] | None, track: bool
) -> None:
    num = 6
    theirs = raw(num, 11, levels)
    ours = envs.make_vec(num, "end", levels, seed=11, track=track)
    obs, infos = ours.reset()
    ended = 0
    for action in actions_for(num, 400):
        rew, frames, _ = theirs.observe()
        np.testing.assert_array_equal(obs, frames["rgb"])
        np.testing.assert_array_equal(
            infos["level_seed"], [info["level_seed"] for info in theirs.get_info()]
        )
        theirs.act(action)
        obs, rewards, terminated, truncated, infos = ours.step(action)
        rew, _, first = theirs.observe()
        np.testing.assert_array_equal(rewards, rew)
        np.testing.assert_array_equal(terminated | truncated, first)
        ended += int(first.sum())
    assert ended > 20
    ours.close()


def test_time_limit_shows_the_true_last_frame_and_the_level_that_would_follow(raw: Maker) -> None:
    num, limit = 4, 12
    theirs = raw(num, 3)
    ours = envs.make_vec(num, "end", seed=3, time_limit=limit)
    ours.reset()
    still = np.full(num, 4)
    for _ in range(limit):
        theirs.act(still)
        obs, _, terminated, truncated, infos = ours.step(still)
    assert truncated.all() and not terminated.any()
    last = theirs.observe()[1]["rgb"]
    np.testing.assert_array_equal(np.stack(infos["final_obs"]), last)
    assert list(infos["final_info"]["outcome"]) == ["timeout"] * num
    theirs.act(np.full(num, -1))  # procgen's own forced reset draws the same next levels
    np.testing.assert_array_equal(obs, theirs.observe()[1]["rgb"])


def test_procgens_own_limit_is_a_truncation_with_its_true_last_frame(raw: Maker) -> None:
    theirs, ours = raw(1, 3), envs.make_vec(1, "end", seed=3)
    ours.reset()
    for step in range(1, 1001):
        theirs.act(np.array([4]))
        if step == 999:
            before = theirs.observe()[1]["rgb"]
        obs, _, terminated, truncated, infos = ours.step([4])
        assert truncated[0] == (step == 1000) and not terminated[0]
    assert theirs.observe()[2][0]  # procgen reset itself here, too
    np.testing.assert_array_equal(obs, theirs.observe()[1]["rgb"])
    np.testing.assert_array_equal(infos["final_obs"][0], before[0])  # standing still
