"""The state format: exact round trips, and refusal of what is not understood."""

import struct
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import envs
from envs.games import find_procgen
from envs.native import acquire
from envs.simulator import shared_simulator
from envs.state import (
    END_MARKER,
    State,
    StateError,
    agent_motion,
    generator_words,
    level_generators,
)
from rl_slt import InputError

Maker = Callable[..., Any]
Mode = Literal["easy", "hard"]


@pytest.mark.parametrize("game", ["coinrun", "maze"])
@pytest.mark.parametrize("mode", ["easy", "hard"])
def test_round_trips_are_byte_for_byte(raw: Maker, game: str, mode: Mode) -> None:
    theirs = raw(3, 7, game=game, mode=mode)
    spare = acquire(1, game, envs.LevelSettings(distribution_mode=mode))
    for step in range(30):
        for data in theirs.get_state():
            state = State(data)
            assert bytes(state.data) == data
            assert bytes(state.with_entities(state.entities).data) == data
            assert agent_motion(data)[:2] == tuple(state.entities[0, :2].tolist())
            spare.set_state(0, state.data)
            assert spare.get_state(0) == data
        theirs.act(np.full(3, 8 if step % 3 else 5))
        theirs.observe()


@pytest.mark.parametrize("game", ["coinrun", "maze"])
def test_a_game_keeps_the_generators_that_it_is_not_told(raw: Maker, game: str) -> None:
    theirs = raw(2, 9, game=game)
    spare = acquire(1, game, envs.LevelSettings())
    for step in range(12):
        for data in theirs.get_state():
            state = State(data)
            spare.set_state(0, data)
            state.set_step_field("timeout", 77)  # any edit
            spare.set_state(0, state.without_generators())
            assert spare.get_state(0) == bytes(state.data)
            assert len(state.without_generators()) < len(data) - 5000
        theirs.act(np.full(2, 8 if step % 3 else 5))
        theirs.observe()


@pytest.mark.parametrize("game, mode", [("coinrun", "easy"), ("coinrun", "hard"), ("maze", "easy")])
def test_a_level_made_uses_nothing_of_its_generator(game: str, mode: Mode) -> None:
    settings, rng = envs.LevelSettings(distribution_mode=mode), np.random.default_rng(3)
    games = [acquire(8, game, settings) for _ in range(2)]
    ended = 0
    for first in range(0, 256, 8):
        for index in range(8):
            level = shared_simulator(game, settings).level(first + index)
            other = shared_simulator(game, settings).level(5000 + first + index)
            games[0].set_state(index, level.data)
            games[1].set_state(index, mixed(bytes(level.data), other))
        for _ in range(60):
            actions = np.where(rng.random(8) < 0.4, 8, rng.integers(0, 15, 8))
            for one in games:
                one.step(actions)
            assert np.array_equal(games[0].obs, games[1].obs)
            assert np.array_equal(games[0].rew, games[1].rew)
            assert np.array_equal(games[0].first, games[1].first)
            ended += int(games[0].first.sum())
    assert ended > 20 or game == "maze"


def mixed(data: bytes, other: State) -> bytes:
    """A state with the level's own generator of another."""
    state = State(data)
    own = bytes(other.data[other._generator_end : other._step])
    return data[: state._generator_end] + own + data[state._step :]


def test_generators_are_procgens(raw: Maker) -> None:
    for seed in (0, 1, 12345):
        states = [State(data) for data in raw(4, seed).get_state()]
        for state, generator in zip(states, level_generators(seed, 4), strict=True):
            low, high = state.level_range
            drawn = low + int(generator._bit_generator.random_raw()) % (high - low)
            assert drawn == state.step_field("level_seed")
            words, place = generator_words(generator)
            assert " ".join(map(str, [*words, place])).encode() in bytes(state.data)


def test_trivial_generators_draw_the_low_end_and_keep_the_level() -> None:
    spare = shared_simulator("coinrun", envs.LevelSettings())
    state = spare.level(77)
    assert state.step_field("level_seed") == 77
    spare.level(78)
    again = spare.level(77)
    assert bytes(state.data) == bytes(again.data)
    assert len(state.data) < 30000


def test_the_level_of_a_seed_is_procgens(raw: Maker) -> None:
    theirs = State(raw(1, 0, (77, 78)).get_state()[0])
    ours = shared_simulator("coinrun", envs.LevelSettings()).level(77)
    np.testing.assert_array_equal(theirs.grid, ours.grid)
    np.testing.assert_array_equal(theirs.entities, ours.entities)


def damaged() -> dict[str, bytes]:
    good = bytes(shared_simulator("coinrun", envs.LevelSettings()).level(1).data)
    state = State(good)
    assert good.endswith(END_MARKER)
    return {
        "version 1": struct.pack("<i", 1) + good[4:],
        "another game": good.replace(b"coinrun", b"starpil", 1),
        "cut short": good[:-5],
        "longer": good + b"\0\0\0\0",
        "no marker": good[:-4] + b"\0\0\0\0",
        "empty": b"",
        "noise": bytes(range(256)) * 150,
        "shifted": good[: state._step] + b"\0\0\0\0" + good[state._step :],
        "more entities": good[: state._entities_at]
        + struct.pack("<i", len(state.entities) + 1)
        + good[state._entities_at + 4 :],
    }


def test_what_does_not_parse_is_refused_with_its_version() -> None:
    for name, data in damaged().items():
        with pytest.raises(StateError) as error:
            State(data)
        assert "version" in str(error.value), name
        assert "\n" not in str(error.value)
        with pytest.raises(InputError):
            envs.move_coin(data, None)
    with pytest.raises(StateError, match="version 1"):
        State(damaged()["version 1"])


@pytest.mark.parametrize("coin", ["end", "mix:0.5:behind:end"])
@pytest.mark.parametrize("track", [False, True])
def test_a_whole_vector_environment_goes_on_exactly(coin: str, track: bool) -> None:
    vector = envs.make_vec(5, coin, seed=4, track=track, time_limit=40)
    other = envs.make_vec(5, coin, seed=99, track=track, time_limit=40)
    rng = np.random.default_rng(1)
    actions = np.where(rng.random((160, 5)) < 0.3, rng.integers(0, 15, (160, 5)), 8)
    vector.reset()
    other.reset()
    for action in actions[:60]:
        vector.step(action)
    saved = vector.get_state()
    runs = []
    for env in (vector, other, vector):
        env.set_state(saved)
        assert env.get_state() == saved
        runs.append([env.step(action) for action in actions[60:]])
    for one, two in zip(runs[0], runs[1], strict=True):
        for a, b in zip(one[:4], two[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(one[4]["coin_xy"], two[4]["coin_xy"])
        if "final_info" in one[4]:
            ends = [step[4]["final_info"] for step in (one, two)]
            assert ends[0]["outcome"].tolist() == ends[1]["outcome"].tolist()
            assert ends[0]["death_cause"].tolist() == ends[1]["death_cause"].tolist()
    assert all((a[0] == b[0]).all() for a, b in zip(runs[0], runs[2], strict=True))


def test_saved_environments_of_another_kind_are_refused() -> None:
    saved = envs.make_vec(2, "end").get_state()
    with pytest.raises(InputError, match="placement"):
        envs.make_vec(2, "ground").set_state(saved)
    with pytest.raises(InputError, match="num_envs"):
        envs.make_vec(3, "end").set_state(saved)
    with pytest.raises(InputError, match="no saved"):
        envs.make_vec(2, "end").set_state(b"nothing")


@pytest.mark.parametrize("game", ["coinrun", "maze"])
def test_what_is_read_and_written_as_bytes_is_what_the_arrays_show(game: str) -> None:
    spare = shared_simulator(game, envs.LevelSettings())
    coin, empty = find_procgen(game).coin, find_procgen(game).empty[0]
    for seed in range(40):
        state = spare.level(seed)
        assert bytes(state.cells()) == state.grid.astype(np.uint8).tobytes()
        assert state.grid.shape == state.size[::-1]
        rows = zip(state.entities[:, :2].tolist(), state.kinds.tolist(), strict=True)
        assert list(state.objects()) == [(x, y, kind) for (x, y), kind in rows]
        assert state.agent_xy == tuple(state.entities[0, :2].tolist())
        wanted = state.grid.copy()
        wanted[wanted == coin] = empty
        wanted[2, 1] = wanted[3, 4] = coin
        state.put(coin, [(1, 2), (4, 3)], empty)
        np.testing.assert_array_equal(state.grid, wanted)
        state.put(coin, [], empty)
        assert not (state.grid == coin).any()
