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


@pytest.mark.parametrize("limit", [1, 2, 33])
def test_procgen_cuts_episodes_off_just_as_we_do(actions_for: Maker, limit: int) -> None:
    procgen_cuts = envs.make_vec(6, "end", seed=7, time_limit=limit)
    we_cut = envs.make_vec(6, "end", seed=7, time_limit=limit, track=True)
    procgen_cuts.reset()
    we_cut.reset()
    cut = 0
    for action in actions_for(6, 200):
        ours, theirs = we_cut.step(action), procgen_cuts.step(action)
        for one, two in zip(ours[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(ours[4]["level_seed"], theirs[4]["level_seed"])
        if ours[3].any():
            cut += ours[3].sum()
            for index in np.flatnonzero(ours[3]):
                last = [step[4]["final_obs"][index] for step in (ours, theirs)]
                np.testing.assert_array_equal(*last)
            for name in ("outcome", "length", "ret"):
                ends = [step[4]["final_info"][name] for step in (ours, theirs)]
                np.testing.assert_array_equal(*ends)
    assert cut >= 6


def test_an_episode_that_ends_by_itself_at_its_limit_is_not_truncated(actions_for: Maker) -> None:
    actions = actions_for(6, 400)
    free = envs.make_vec(6, "end", seed=11)
    before, _ = free.reset()
    taken = []
    for action in actions:
        taken.append(action)
        obs, rewards, ended, _, infos = free.step(action)
        if ended.any():
            break
        before = obs
    limited = envs.make_vec(6, "end", seed=11, time_limit=len(taken))
    limited.reset()
    for action in taken:
        _, paid, terminated, truncated, reported = limited.step(action)
    np.testing.assert_array_equal(terminated, ended)
    np.testing.assert_array_equal(truncated, ~ended)
    np.testing.assert_array_equal(paid, rewards)
    for index in np.flatnonzero(ended):
        assert reported["final_info"]["outcome"][index] == infos["final_info"]["outcome"][index]
        np.testing.assert_array_equal(reported["final_obs"][index], before[index])
    for index in np.flatnonzero(~ended):
        assert reported["final_info"]["outcome"][index] == "timeout"
        np.testing.assert_array_equal(reported["final_obs"][index], obs[index])


def test_a_saved_environment_goes_on_under_the_limit_of_the_one_that_takes_it() -> None:
    saver, taker = (envs.make_vec(2, "end", seed=1, time_limit=limit) for limit in (50, 30))
    still = np.full(2, 4)
    for _ in range(20):
        saver.step(still)
    taker.set_state(saver.get_state())
    assert [bool(taker.step(still)[3].all()) for _ in range(10)] == [False] * 9 + [True]
    saver.set_state(taker.get_state())
    assert [bool(saver.step(still)[3].all()) for _ in range(50)] == [False] * 49 + [True]


def test_states_of_running_games_know_no_limit() -> None:
    vector = envs.make_vec(1, "end", seed=1, time_limit=5)
    vector.step([4])
    twin = envs.make_vec(1, "end", seed=1, time_limit=60)
    twin.step([4])
    assert vector.game_state(0) == twin.game_state(0)
