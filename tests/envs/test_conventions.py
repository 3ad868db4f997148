"""What Gymnasium and stable-baselines3 lead one to expect of any environment."""

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from envs.make import ProcgenEnv
from rl_slt import InputError

ID = envs.ENV_ID
Vector = envs.ProcgenVectorEnv


def assert_same_steps(one: Any, two: Any, steps: int = 40) -> None:
    """Both give the same, step by step, also over ends of episodes."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        actions = np.where(rng.random(one.num_envs) < 0.3, rng.integers(0, 15, one.num_envs), 8)
        mine, theirs = one.step(actions), two.step(actions)
        for a, b in zip(mine[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        for name in ("level_seed", "coin_xy", "end_x"):
            np.testing.assert_array_equal(mine[4][name], theirs[4][name])


@pytest.mark.parametrize(
    "use",
    [
        lambda v: v.step([4, 4]),
        lambda v: v.reset(),
        lambda v: v.reset(seed=1),
        lambda v: v.now(),
        lambda v: v.get_state(),
        lambda v: v.game_state(0),
        lambda v: v.render(),
        lambda v: copy.copy(v),
        lambda v: envs.to_sb3(v).reset(),
    ],
)
def test_what_is_closed_cannot_be_used(use: Any) -> None:
    vector = envs.make_vec(2, render_mode="rgb_array")
    vector.close()
    other = envs.make_vec(2)  # has the closed one's games now
    before = other.get_state()
    with pytest.raises(ClosedEnvironmentError, match="close"):
        use(vector)
    vector.close()  # twice does no harm
    assert other.get_state() == before
    other.close()


def test_a_closed_single_environment_cannot_be_used() -> None:
    env: Any = gymnasium.make(ID, time_limit=1).unwrapped
    env.reset()
    env.step(4)  # the next episode has begun inside
    env.close()
    for use in (env.reset, lambda: env.step(4)):
        with pytest.raises(ClosedEnvironmentError):
            use()


@pytest.mark.parametrize("coin", ["end", "ground"])
def test_reset_mask_begins_episodes_there_alone(coin: str) -> None:
    masked, free = (envs.make_vec(3, coin, seed=2, track=True, time_limit=30) for _ in range(2))
    mask = np.array([False, True, False])
    for vector in (masked, free):
        vector.reset()
        for _ in range(7):
            obs = vector.step([8, 8, 8])[0]
    _, before = masked.now()
    new, infos = masked.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(new[~mask], obs[~mask])
    np.testing.assert_array_equal(infos["level_seed"][~mask], before["level_seed"][~mask])
    assert infos["level_seed"][1] != before["level_seed"][1]
    assert infos["_level_seed"].tolist() == infos["_coin_xy"].tolist() == mask.tolist()
    assert masked.length.tolist() == [7, 0, 7] and (new[1] != obs[1]).any()
    for _ in range(23):
        mine, theirs = masked.step([8, 8, 8]), free.step([8, 8, 8])
        for a, b in zip(mine[:4], theirs[:4], strict=True):
            np.testing.assert_array_equal(a[~mask], b[~mask])


@pytest.mark.parametrize(
    ("options", "seed", "part"),
    [
        ({"reset_mask": np.array([True])}, None, "2 booleans"),
        ({"reset_mask": np.array([1, 0])}, None, "2 booleans"),
        ({"reset_mask": np.zeros(2, bool)}, None, "one of them true"),
        ({"reset_mask": np.ones(2, bool)}, 3, "seed=3"),
        ({"level": 3}, None, "level"),
    ],
)
def test_wrong_options(options: dict[str, Any], seed: int | None, part: str) -> None:
    vector = envs.make_vec(2)
    before = vector.get_state()
    with pytest.raises(InputError, match=part):
        vector.reset(seed=seed, options=options)
    assert vector.get_state() == before


@pytest.mark.parametrize("coin", ["end", "mix:0.5:behind:end"])
def test_a_list_of_seeds_plays_as_environments_alone_do(coin: str) -> None:
    seeds, limit = [5, 0, 2**31 - 1], 12
    alone = SyncVectorEnv(
        [lambda: gymnasium.make(ID, coin=coin, time_limit=limit)] * 3,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    vector = envs.make_vec(3, coin, time_limit=limit)
    theirs, mine = alone.reset(seed=[*seeds]), vector.reset(seed=seeds)
    np.testing.assert_array_equal(mine[0], theirs[0])
    np.testing.assert_array_equal(mine[1]["level_seed"], theirs[1]["level_seed"])
    assert_same_steps(vector, alone)
    copied = pickle.loads(pickle.dumps(vector))  # the seeds are part of what is saved
    assert_same_steps(vector, copied)


def test_seeds_of_numpy_are_seeds() -> None:
    vector = envs.make_vec(2)
    by_int = vector.reset(seed=3)[0]
    numpys: Any = (np.int64(3), np.uint8(3), np.array(3))
    for same in numpys:
        np.testing.assert_array_equal(vector.reset(seed=same)[0], by_int)
    by_list, array = vector.reset(seed=[3, 4])[0], np.array([3, 4])
    np.testing.assert_array_equal(vector.reset(seed=array)[0], by_list)  # type: ignore[arg-type]
    single = gymnasium.make(ID)
    np.testing.assert_array_equal(single.reset(seed=np.int64(3))[0], by_int[0])  # type: ignore[arg-type]


def test_integers_of_numpy_are_integers() -> None:
    numbers: dict[str, Any] = {"num_envs": 2, "seed": 1, "time_limit": 3, "threads": 1}
    numpys: dict[str, Any] = {name: np.int64(value) for name, value in numbers.items()}
    levels: Any = np.array([3, 9])
    one, two = envs.make_vec(**numbers, levels=(3, 9)), envs.make_vec(**numpys, levels=levels)
    assert one.config == two.config
    assert_same_steps(one, two, 5)


@pytest.mark.parametrize(
    "seed", [-1, 2**31, 2**32, 1.0, "1", True, [0], [0, 1, 2], [0, -1], [0, None], [0, 1.5], []]
)
def test_wrong_seeds(seed: Any) -> None:
    vector, single = envs.make_vec(2), gymnasium.make(ID)
    before = vector.get_state()
    venv = envs.to_sb3(vector)
    venv.seed(seed)
    for reset in (
        lambda: vector.reset(seed=seed), lambda: single.reset(seed=seed), lambda: venv.reset(),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"seed=.*must be an integer from 0 to 2147483647"):
            reset()
    assert vector.get_state() == before


@pytest.mark.parametrize("actions", [[4.0, 4.0], [True, False], [[4], [4]], ["4", "4"], 4])
def test_actions_are_integers(actions: Any) -> None:
    vector = envs.make_vec(2)
    with pytest.raises(InputError, match=r"actions=.*2 integers from 0 to 14"):
        vector.step(actions)
    assert vector.length.tolist() == [0, 0]


def test_copies_play_on_from_where_the_environment_stands() -> None:
    vector: Any = gymnasium.make_vec(ID, num_envs=3, coin="mix:0.5:ground:end", time_limit=20)
    vector.reset(seed=4)
    vector.action_space.seed(1)
    for _ in range(15):
        vector.step([8, 8, 8])
    for copied in (copy.deepcopy(vector), pickle.loads(pickle.dumps(vector))):
        assert copied.get_state() == vector.get_state() and copied.spec == vector.spec
        drawn = copy.deepcopy(vector.action_space).sample()
        np.testing.assert_array_equal(copied.action_space.sample(), drawn)
        twin = copy.copy(vector)
        assert_same_steps(copied, twin)
    assert vector.length.tolist() == [15, 15, 15]  # copies have games of their own


def test_copies_have_the_tasks_and_branches() -> None:
    tasks = [envs.Task("ground", level, 9) for level in range(4)]
    vector = envs.make_vec(2, tasks=tasks)
    vector.reset()
    vector.step([8, 8])
    vector.branch(0, ["end", "none"])
    copied = copy.deepcopy(vector)
    for _ in range(40):
        np.testing.assert_array_equal(copied.step([8, 8])[0], vector.step([8, 8])[0])
        np.testing.assert_array_equal(copied.task, vector.task)
    assert vector.task.tolist() == [-1, -1]


def test_copies_of_the_single_form_and_of_sb3s() -> None:
    single: Any = gymnasium.make(ID, time_limit=3)
    single.reset(seed=1)
    copied = copy.deepcopy(single)
    for env in (single, copied):
        env.step(8)
    np.testing.assert_array_equal(copied.step(8)[0], single.step(8)[0])
    venv = envs.to_sb3(envs.make_vec(2))
    venv.reset()
    again: Any = pickle.loads(pickle.dumps(venv))
    frames: Any = venv.step(np.array([8, 8]))[0]
    np.testing.assert_array_equal(again.step(np.array([8, 8]))[0], frames)


@pytest.mark.parametrize("mode", ["human", "ansi", "rgb_array_list"])
def test_other_render_modes_are_refused_at_making(mode: str) -> None:
    for make in (envs.make_vec, lambda num, **rest: ProcgenEnv(**rest)):
        with pytest.raises(InputError, match=f"render_mode='{mode}'.*HumanRendering"):
            make(2, render_mode=mode)


def test_frames_a_second() -> None:
    vector = envs.make_vec(2, render_mode="rgb_array")
    forms: list[Any] = [vector, gymnasium.make(ID), envs.to_sb3(vector)]
    assert [form.metadata["render_fps"] for form in forms] == [15] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("coin", "behind"), ("levels", (0, 5)), ("num_envs", 3), ("config", None), ("other", 1)],
)
def test_sb3_attributes_that_would_change_nothing_are_refused(name: str, value: Any) -> None:
    venv = envs.to_sb3(envs.make_vec(2))
    with pytest.raises(InputError, match=f"{name}=.*cannot be set"):
        venv.set_attr(name, value)
    assert venv.get_attr("num_envs") == [2, 2]
    venv.set_options()
    for options in ({"level": 3}, [{}, {"level": 3}]):
        with pytest.raises(InputError, match="options"):
            venv.set_options(options)


@pytest.mark.parametrize("reward", [0.0, 10.0])
def test_an_episode_that_ends_at_its_limit_is_terminated(reward: float) -> None:
    """By death as by the coin, tracked or not."""
    free = envs.make_vec(8, "ground", seed=5)
    rng = np.random.default_rng(1)
    taken, first, ended = [], np.ones(8, bool), np.zeros(8, bool)
    while not ended.any():
        taken.append(np.where(rng.random(8) < 0.2, rng.integers(0, 15, 8), 8))
        _, paid, over, *_ = free.step(taken[-1])
        ended, first = first & over & (paid == reward), first & ~over
    for track in (False, True):
        limited = envs.make_vec(8, "ground", seed=5, time_limit=len(taken), track=track)
        for actions in taken:
            _, _, terminated, truncated, infos = limited.step(actions)
            assert not (terminated & truncated).any()
        assert terminated[ended].all() and truncated[first].all()
        outcome = "coin" if reward else "death"
        assert set(infos["final_info"]["outcome"][ended]) == {outcome}
