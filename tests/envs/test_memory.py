"""Memory stays where it is, over steps and over environments made and closed."""

import os
from pathlib import Path

import numpy as np
import pytest

import envs
from envs import native

STATM = Path("/proc/self/statm")
needs_linux = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def resident() -> float:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@needs_linux
@pytest.mark.parametrize("objects", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_environments_made_and_closed(objects: int) -> None:
    envs.make_vec(4, "ground").close()
    before = resident()
    for number in range(objects):
        vector = envs.make_vec(4, "ground", seed=number)
        vector.reset()
        vector.close()
    assert resident() - before < 50  # a new library object each time would take 2 MiB and more


@needs_linux
@pytest.mark.slow
def test_steps_and_episodes() -> None:
    vector = envs.make_vec(64, "mix:0.5:ground:end@mid", time_limit=45, track=True)
    vector.reset()
    rng = np.random.default_rng(0)
    for step in range(20_000):
        vector.step(rng.integers(0, 15, 64))
        if step == 4000:
            before = resident()
    assert resident() - before < 50


def test_a_closed_environment_is_as_good_as_new() -> None:
    first = envs.make_vec(3, "ground", seed=1)
    obs, _ = first.reset()
    for _ in range(20):
        first.step([8, 8, 8])
    games = first._native
    first.close()
    second = envs.make_vec(3, "ground", seed=1)
    assert second._native is games
    np.testing.assert_array_equal(second.reset()[0], obs)


def test_games_of_environments_that_nobody_closed_are_given_back() -> None:
    """Not at once, since a collection takes a while, and never those that are in use."""
    used = native.acquire(3, "coinrun", envs.LevelSettings())
    native.drop_released()
    held = len(native._KEPT)
    for number in range(3 * native.MOST_LOST):
        envs.make_vec(3, "ground", seed=number).reset()
        assert len(native._KEPT) <= held + native.MOST_LOST + 4  # and the simulator's
    native.drop_released()
    assert len(native._KEPT) <= held + 2
    state = used.get_state(0)
    used.set_state(0, state)
    assert used.get_state(0) == state
    native.release(used)


@needs_linux
def test_released_games_can_be_given_back() -> None:
    """Those in use go on; the others' memory, 0.6 MB a game, is the system's again."""
    settings = envs.LevelSettings()
    used = native.acquire(2, "coinrun", settings)
    native.drop_released()
    before = resident()
    native.release(native.acquire(64, "coinrun", settings))
    grown = resident() - before
    native.drop_released()
    left = resident() - before
    assert grown > 20 and left < grown / 3
    state = used.get_state(0)
    used.step(0)
    used.set_state(0, state)
    assert used.get_state(0) == state
    native.release(used)
