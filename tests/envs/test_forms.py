"""Gymnasium's two forms and stable-baselines3's, checked by their own checkers."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers.vector import DictInfoToList, NumpyToTorch
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.evaluation import evaluate_policy

import envs
from envs.edit import coins_of
from envs.settings import VecConfig

Mode = Literal["easy", "hard", "memory"]

ID = envs.ENV_ID


@pytest.mark.parametrize("options", [{}, {"coin": "ground", "track": True, "time_limit": 20}])
def test_checkers_pass(options: dict[str, Any]) -> None:
    check_env(gymnasium.make(ID, render_mode="rgb_array", **options).unwrapped)
    check_env_sb3(gymnasium.make(ID, **options).unwrapped)


@pytest.mark.parametrize("coin", ["end", "mix:0.5:behind:end"])
def test_single_and_vector_form_agree_step_by_step(coin: str) -> None:
    single = gymnasium.make(ID, coin=coin, time_limit=30, track=True)
    vector = gymnasium.make_vec(ID, num_envs=1, coin=coin, time_limit=30, track=True)
    obs, info = single.reset(seed=8)
    many, infos = vector.reset(seed=8)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(200):
        np.testing.assert_array_equal(obs, many[0])
        for name in ("level_seed", "coin_xy", "end_x", "agent_xy", "end_reached"):
            np.testing.assert_array_equal(info[name], infos[name][0])
        action = 8 if rng.random() < 0.8 else int(rng.integers(15))
        obs, reward, terminated, truncated, info = single.step(action)
        many, rewards, terminations, truncations, infos = vector.step([action])
        assert (reward, terminated, truncated) == (rewards[0], terminations[0], truncations[0])
        if terminated or truncated:
            np.testing.assert_array_equal(obs, infos["final_obs"][0])
            assert info["outcome"] == infos["final_info"]["outcome"][0]
            assert info["level_seed"] == infos["final_info"]["level_seed"][0]
            obs, info = single.reset()
            ended += 1
    assert ended >= 5


def test_infos_have_gymnasiums_vector_form() -> None:
    single = gymnasium.make_vec(
        ID,
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
        coin="end",
        time_limit=5,
        track=True,
    )
    ours = gymnasium.make_vec(ID, num_envs=2, coin="end", time_limit=5, track=True)
    assert ours.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    single.reset(seed=0)
    ours.reset(seed=0)
    for _ in range(5):
        *_, theirs = single.step(np.array([4, 4]))
        *_, infos = ours.step(np.array([4, 4]))
    assert set(theirs) == set(infos)
    assert set(theirs["final_info"]) == set(infos["final_info"])
    for name, value in theirs["final_info"].items():
        assert np.shape(value) == np.shape(infos["final_info"][name]), name


def test_reset_with_a_seed_starts_its_sequence_again() -> None:
    vector = envs.make_vec(3, "ground", seed=1)
    first, infos = vector.reset()
    vector.step([4, 4, 4])
    second, later = vector.reset()
    assert (later["level_seed"] != infos["level_seed"]).all() and (first != second).any()
    again, same = vector.reset(seed=1)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(same["level_seed"], infos["level_seed"])


def test_observations_stay_valid() -> None:
    vector = envs.make_vec(4, "ground", time_limit=3)
    kept = [vector.reset()[0]]
    copies = [kept[0].copy()]
    for _ in range(8):
        kept.append(vector.step(np.full(4, 8))[0])
        copies.append(kept[-1].copy())
    for one, two in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(one, two)


HOLDS: list[Callable[[Any], Any]] = [
    *(lambda a: a[2:3], lambda a: a[1][:, 3], lambda a: a.reshape(-1)[5:].view(np.int8)),
    *(torch.from_numpy, lambda a: torch.from_numpy(a)[1:2], torch.from_dlpack, memoryview),
]


def test_what_is_held_stays_and_what_is_let_go_may_change() -> None:
    rng = np.random.default_rng(0)
    vector = envs.make_vec(3, "ground", seed=1, time_limit=9)
    held: list[tuple[Any, Any]] = [(obs := vector.reset()[0], obs.copy())]
    for _ in range(150):
        obs, *_, infos = vector.step(rng.integers(0, 15, 3))
        kept = [obs, *infos.get("final_obs", [])] if rng.random() < 0.7 else []
        held += [(HOLDS[0](frame), HOLDS[0](frame).copy()) for frame in kept if frame is not None]
        del obs, kept
        held = [pair for pair in held if rng.random() < 0.8]
        for now, then in held:
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("options", [{}, {"coin": "ground"}, {"coin": "both", "track": True}])
def test_infos_are_a_plain_dict_that_wrappers_can_rebuild(options: dict[str, Any]) -> None:
    """As Gymnasium's wrappers rebuild a mapping, take out of it and put into it."""
    vector = envs.make_vec(2, levels=(3, 4), **options)
    for _, infos in (vector.reset(), vector.step([7, 7])[3:]):
        assert type(infos) is dict
        rebuilt: Any = type(infos)(**{name: value.copy() for name, value in infos.items()})
        assert rebuilt.keys() == infos.keys() == {**infos}.keys()
        coin = pickle.loads(pickle.dumps(rebuilt))["coin_xy"].tolist()
        assert rebuilt.setdefault("coin_xy").tolist() == rebuilt.pop("coin_xy").tolist() == coin
        assert infos["end_x"].tolist() == [12, 12] and "coin_xy" not in rebuilt
        if not options:
            assert coin == [[12, 4], [12, 4]]


def test_gymnasiums_wrappers_take_infos() -> None:
    vector = NumpyToTorch(envs.make_vec(2, levels=(3, 4)))
    _, infos = vector.reset()
    assert infos["coin_xy"].tolist() == [[12, 4], [12, 4]] and infos["end_x"].dtype == torch.int32
    *_, infos = vector.step(torch.tensor([7, 7]))
    assert infos["coin_xy"].tolist() == [[12, 4], [12, 4]]
    listed = DictInfoToList(envs.make_vec(2, levels=(3, 4))).reset()[1]
    assert [info["end_x"] for info in listed] == [12, 12]


def test_infos_that_are_kept_do_not_change() -> None:
    vector = envs.make_vec(3, "ground", time_limit=4, track=True)
    kept = [vector.reset()[1]] + [vector.step([8, 8, 8])[4] for _ in range(3)]
    then = copy.deepcopy(kept)
    for _ in range(9):
        vector.step([8, 4, 1])
    for one, two in zip(kept, then, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, two[name])


def test_sb3_infos_and_truncation() -> None:
    venv = envs.to_sb3(envs.make_vec(4, "none", seed=2, time_limit=6, track=True))
    venv.reset()
    returns = 0
    for step in range(1, 19):
        obs, _, dones, infos = venv.step(np.full(4, 4))
        assert isinstance(obs, np.ndarray)
        assert obs.dtype == np.uint8 and obs.shape == (4, 64, 64, 3)
        assert dones.all() == (step % 6 == 0)
        for done, info in zip(dones, infos, strict=True):
            if done:
                assert info["episode"]["l"] == 6 and info["episode"]["r"] == 0
                assert info["TimeLimit.truncated"] and info["outcome"] == "timeout"
                assert info["terminal_observation"].shape == (64, 64, 3)
                returns += 1
            else:
                assert info == {}
    assert returns == 12


def test_sb3_learns_and_evaluates_without_a_monitor() -> None:
    venv = envs.to_sb3(
        envs.make_vec(4, "mix:0.5:behind:end", settings=envs.PLAIN_FLAT, time_limit=20)
    )
    model = PPO("CnnPolicy", venv, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(128)
    assert model.ep_info_buffer is not None and len(model.ep_info_buffer) > 0
    mean, _ = evaluate_policy(model, venv, 4)
    assert isinstance(mean, float) and 0 <= mean <= 10


@pytest.mark.parametrize("options", [{}, {"coin": "ground", "track": True, "time_limit": 20}])
def test_games_play_the_same_on_any_number_of_threads(options: dict[str, Any]) -> None:
    one, two = (envs.make_vec(33, threads=threads, **options) for threads in (1, 2))
    for vector in (one, two):
        vector.reset(seed=4)
    rng = np.random.default_rng(0)
    for step in range(60):
        actions = rng.integers(0, 15, 33)
        a, b = one.step(actions), two.step(actions)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(a[4]["level_seed"], b[4]["level_seed"])
        if step == 30:  # threads are no part of what is saved
            two.set_state(one.get_state())
    assert one.get_state() == two.get_state()
    for vector in (one, two):
        vector.close()


def test_many_games_share_the_cores_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.settings.cores", lambda: 3)
    assert VecConfig(num_envs=64).step_threads == 3
    assert VecConfig(num_envs=8).step_threads == 1  # handing so few over takes longer
    assert VecConfig(num_envs=64, threads=1).step_threads == 1
    monkeypatch.setattr("envs.settings.cores", lambda: 96)
    assert VecConfig(num_envs=64).step_threads == 4


@pytest.mark.parametrize("coin", ["end", "ground", "none", "both", "end@mid"])
@pytest.mark.parametrize("mode", ["easy", "hard", "memory"])
def test_maze_by_the_same_interfaces(coin: str, mode: Mode) -> None:
    settings = envs.LevelSettings(distribution_mode=mode)
    vector = envs.make_vec(
        8, coin, (0, 200), order="sequential", game="maze", settings=settings, track=True
    )
    _, infos = vector.reset()
    for index in range(8):
        cells = coins_of(vector.game_state(index))
        assert len(cells) == {"none": 0, "both": 2}.get(coin, 1)
        layout: Any = vector._simulator.layout(index)
        corner = np.max(layout._cells, axis=0)
        assert (np.array(layout.end) > corner - 5).all()
        if coin != "none":
            assert tuple(infos["coin_xy"][index]) in cells
        if coin.startswith("end"):
            assert cells == (layout.end,)
        start = tuple(np.floor(infos["agent_xy"][index]).astype(int))
        assert (start == layout.spawn) == ("@mid" not in coin)
    rng = np.random.default_rng(0)
    paid = sum(vector.step(rng.integers(0, 9, 8))[1].sum() for _ in range(300))
    assert (paid > 0) == (coin != "none") or mode != "easy"
    vector.close()
