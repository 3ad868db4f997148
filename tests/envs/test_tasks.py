"""Lists of episodes, and agents followed by few looks."""

from typing import Any

import numpy as np
import pytest

import envs
from envs import following
from envs.errors import InputError
from envs.reach import Reach
from envs.state import agent_motion
from envs.tasks import Task

LEVELS = range(40, 52)
TASKS = [Task(p, level, 60) for p in ("none", "both", "behind") for level in LEVELS]
NAMES = ("outcome", "death_cause", "ret", "length", "end_reached", "coin_collected", "level_seed")


def finals(vector: Any, seed: int = 0, tasks: list[Task] = TASKS) -> list[dict[str, Any]]:
    """Last infos of each task, under actions fixed by task and time: right, mostly jumping."""
    actions = np.random.default_rng(seed).choice([8, 8, 8, 7, 5, 1], (len(tasks), 2000))
    found: dict[int, dict[str, Any]] = {}
    t = np.zeros(vector.num_envs, int)
    vector.reset()
    while (vector.task >= 0).any():
        task = vector.task
        *_, terminated, truncated, infos = vector.step(actions[task, t])
        t = np.where(terminated | truncated, 0, t + 1)
        for i in np.flatnonzero((terminated | truncated) & (task >= 0)):
            assert task[i] not in found
            found[int(task[i])] = {name: infos["final_info"][name][i] for name in NAMES}
    vector.close()
    return [found[i] for i in range(len(tasks))]


def make(track: bool | str, num_envs: int = 7, tasks: list[Task] = TASKS) -> Any:
    return envs.make_vec(num_envs, tasks=tasks, track=track, stop_at_end=True)


def test_few_looks_see_the_same_as_many() -> None:
    every, few = finals(make(True)), finals(make("sparse"))
    assert every == few
    assert {row["outcome"] for row in every} == {"coin", "end", "death", "timeout"}
    assert {row["death_cause"] for row in every} >= {"", "saw"}


def test_each_task_is_played_once_however_many_environments() -> None:
    one, many = finals(make("sparse", 1)), finals(make("sparse", 64))
    assert one == many
    assert [row["level_seed"] for row in one] == [task.level for task in TASKS]


def test_each_task_has_its_own_limit() -> None:
    tasks = [Task("none", level, limit) for level in LEVELS for limit in (1, 2, 9)]
    rows = finals(make("sparse", tasks=tasks), tasks=tasks)
    assert [row["length"] for row in rows] == [task.limit for task in tasks]


def test_who_is_not_followed_is_not_stopped_at_the_end() -> None:
    followed = finals(make("sparse"))
    free = [Task(task.placement, task.level, 60, follow=False) for task in TASKS]
    rows = finals(make("sparse", tasks=free), tasks=free)
    ends = [i for i, row in enumerate(followed) if row["outcome"] == "end"]
    assert ends and all(rows[i]["outcome"] != "end" for i in ends)
    assert all(rows[i]["length"] > followed[i]["length"] for i in ends)


def test_saved_in_the_middle_it_goes_on_alike() -> None:
    vector, other = make("sparse"), make("sparse")
    vector.reset()
    for _ in range(25):
        vector.step(np.full(7, 8))
    other.set_state(vector.get_state())
    for _ in range(80):
        a, b = vector.step(np.full(7, 8)), other.step(np.full(7, 8))
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[2] | a[3], b[2] | b[3])
        np.testing.assert_array_equal(vector.task, other.task)
    vector.close()
    other.close()


def test_tasks_that_come_later_are_played_alike() -> None:
    """By environments that had nothing left, and after those of the list."""
    vector = make("sparse", 3, TASKS[:2])
    vector.reset()
    late = TASKS[24:27]
    assert vector.extend(late).tolist() == [2]  # the only idle one
    np.testing.assert_array_equal(vector.task, [0, 1, 2])
    fresh = make("sparse", 1, late)
    np.testing.assert_array_equal(vector.frames[2], fresh.reset()[0][0])
    fresh.close()
    seen: dict[int, dict[str, Any]] = {}
    while (vector.task >= 0).any():
        task = vector.task
        *_, terminated, truncated, infos = vector.step(np.full(3, 8))
        for i in np.flatnonzero((terminated | truncated) & (task >= 0)):
            seen[int(task[i])] = {name: infos["final_info"][name][i] for name in NAMES}
    vector.close()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for number, task_ in enumerate([*TASKS[:2], *late]):
        alone = make("sparse", 1, [task_])
        alone.reset()
        while (alone.task >= 0).any():
            *_, infos = alone.step(np.full(1, 8))
        assert seen[number] == {name: infos["final_info"][name][0] for name in NAMES}
        alone.close()


def test_only_lists_can_be_extended() -> None:
    vector = envs.make_vec(1)
    with pytest.raises(InputError, match="1 tasks"):
        vector.extend(TASKS[:1])
    vector.close()


@pytest.mark.parametrize("settings", [envs.LevelSettings(), envs.PLAIN_FLAT], ids=["stock", "flat"])
def test_no_agent_is_farther_right_than_said(settings: envs.LevelSettings) -> None:
    """Against places read at each step, under actions that change now and then."""
    n, rng = 16, np.random.default_rng(0)
    tasks = [Task(("none", "none@mid")[i % 2], i, 9999, follow=False) for i in range(400)]
    vector = envs.make_vec(n, tasks=tasks, settings=settings)
    vector.reset()
    reach, actions, slack = Reach(n), np.full(n, 8), []
    over = np.ones(n, bool)
    for step in range(400):
        for i in np.flatnonzero(over | (step % 50 == 0)):
            x, _, velocity, _ = agent_motion(vector.game_state(i))
            reach.set(i, x, velocity)
        new = rng.choice(15, n, p=np.array([2] * 6 + [4] * 3 + [1] * 6) / 30)
        actions = np.where(rng.random(n) < 0.4, new, actions)
        reach.act(actions)
        *_, terminated, truncated, _ = vector.step(actions)
        over = terminated | truncated
        x = np.array([agent_motion(vector.game_state(i))[0] for i in range(n)])
        assert (x[~over] <= reach.x[~over]).all()
        slack.append((reach.x - x)[~over].mean())
    vector.close()
    assert 0.05 < np.mean(slack) < 6  # columns: it does bound


def test_where_one_hazard_is_alone_it_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playing the last step again without the other kinds says the same."""
    tasks = [Task("none", level, 200) for level in range(60)]
    known = [row["death_cause"] for row in finals(make("sparse", 32, tasks), tasks=tasks)]
    monkeypatch.setattr(following, "only_hazard", lambda *_: "")
    played = [row["death_cause"] for row in finals(make("sparse", 32, tasks), tasks=tasks)]
    assert known == played
    assert {"saw", "lava"} <= set(known)
    monkeypatch.setattr(following, "only_hazard", lambda *_: "fright")
    assert "fright" in [r["death_cause"] for r in finals(make("sparse", 32, tasks), tasks=tasks)]


def test_sparse_tracking_of_a_plain_environment() -> None:
    """The same episodes end in the same way as under full tracking, on and on."""
    ends = []
    for track in (True, "sparse"):
        vector = envs.make_vec(4, "ground", (0, 50), track=track, stop_at_end=True, seed=3)
        vector.reset()
        seen = []
        for _ in range(300):
            *_, infos = vector.step(np.full(4, 8))
            for i in np.flatnonzero(infos.get("_final_info", np.zeros(4, bool))):
                seen.append([infos["final_info"][name][i] for name in NAMES])
        vector.close()
        ends.append(seen)
    assert len(ends[0]) > 10 and ends[0] == ends[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"track": "often"}, "'often'"),
        ({"track": "sparse", "game": "maze"}, "maze"),
        ({"tasks": []}, "tasks is empty"),
        ({"tasks": TASKS, "coin": "none"}, "their own coin"),
        ({"tasks": TASKS, "time_limit": 9}, "their own coin"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        envs.make_vec(2, **arguments)


@pytest.mark.parametrize("values", [("mix:0.5:none:end", 1, 9), ("end", -1, 9), ("end", 1, 0)])
def test_wrong_tasks_are_named(values: tuple[str, int, int]) -> None:
    with pytest.raises(InputError, match="of a task"):
        Task(*values)
