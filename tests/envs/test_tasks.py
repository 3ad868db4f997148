"""Lists of episodes, and agents followed by few looks."""

from typing import Any

import numpy as np
import pytest

import envs
from envs.errors import InputError
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
