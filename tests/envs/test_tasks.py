"""Lists of episodes, and agents followed by few looks."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import envs
from envs import tracking
from envs.replays import WIDTH, Replay, replay
from envs.settings import Track
from envs.state import agent_motion
from envs.tasks import Task
from envs.tracking import Reach, fewest_steps
from rl_slt import InputError

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


def make(track: Track, num_envs: int = 7, tasks: list[Task] = TASKS) -> Any:
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


def test_some_environments_go_on_alike_without_the_others() -> None:
    """In the middle of episodes, with tasks left to deal, and in another order."""
    vector, which = make("sparse", 7, TASKS[:9]), np.array([5, 0, 3])
    vector.reset()
    for _ in range(25):
        vector.step(np.full(7, 8))
    twin = make("sparse", 7, TASKS[:9])
    twin.set_state(vector.get_state())
    few = vector.narrowed(which)
    np.testing.assert_array_equal(few.now()[0], twin.now()[0][which])
    np.testing.assert_array_equal(few.task, twin.task[which])
    on, ends = np.ones(3, bool), 0
    while on.any():  # until each has ended: then the tasks dealt differ
        a, b = few.step(np.full(3, 8)), twin.step(np.full(7, 8))
        over = on & (a[2] | a[3])
        for mine, its in zip(a[1:4], b[1:4], strict=True):
            np.testing.assert_array_equal(mine[on], its[which][on])
        np.testing.assert_array_equal(a[0][on & ~over], b[0][which][on & ~over])
        for name in NAMES if over.any() else ():
            mine, its = (x[4]["final_info"][name] for x in (a, b))
            np.testing.assert_array_equal(mine[over], its[which][over])
        on, ends = on & ~over, ends + over.sum()
    assert ends == 3
    few.close()
    twin.close()


def test_only_lists_can_be_narrowed() -> None:
    vector = envs.make_vec(2)
    with pytest.raises(InputError, match="made with tasks"):
        vector.narrowed(np.array([0]))
    vector.close()


def test_replays_come_to_what_was_played() -> None:
    """More of them than games at once, of every length; reward and steps as in the episodes."""
    actions = np.random.default_rng(0).choice([8, 8, 8, 7, 5, 1], (len(TASKS), 2000))
    rows = finals(make("sparse"))
    replays = [
        Replay(task.level, envs.parse_placement(task.placement), taken[: task.limit].tolist())
        for task, taken in zip(TASKS, actions, strict=True)
    ]
    found = replay("coinrun", envs.LevelSettings(), replays)
    same = 0
    for row, mine in zip(rows, found, strict=True):
        if row["outcome"] != "end":  # a replay goes on there
            assert mine == (row["ret"], row["length"])
            same += 1
    assert len(replays) > WIDTH and same > 20 and {ret for ret, _ in found} == {0.0, 10.0}
    short = replay("coinrun", envs.LevelSettings(), [replace(replays[0], actions=[8, 8])])
    assert short == [(0.0, 2)] and replay("coinrun", envs.LevelSettings(), []) == []


@pytest.mark.parametrize("settings", [envs.LevelSettings(), envs.PLAIN_FLAT], ids=["stock", "flat"])
def test_no_agent_is_farther_right_or_lower_than_said(settings: envs.LevelSettings) -> None:
    """Against places read at each step, under actions that change now and then."""
    n, rng = 16, np.random.default_rng(0)
    tasks = [Task(("none", "none@mid")[i % 2], i, 9999) for i in range(400)]
    vector = envs.make_vec(n, tasks=tasks, settings=settings)
    vector.reset()
    reach, actions, slack = Reach(n), np.full(n, 8), []
    over = np.ones(n, bool)
    for step in range(400):
        for i in np.flatnonzero(over | (step % 50 == 0)):
            reach.set(i, agent_motion(vector.game_state(i)))
        new = rng.choice(15, n, p=np.array([2] * 6 + [4] * 3 + [1] * 6) / 30)
        actions = np.where(rng.random(n) < 0.4, new, actions)
        reach.act(actions)
        before = np.array([agent_motion(vector.game_state(i))[0] for i in range(n)])
        *_, terminated, truncated, _ = vector.step(actions)
        over = terminated | truncated
        x, y, *_ = np.array([agent_motion(vector.game_state(i)) for i in range(n)]).T
        assert (x[~over] <= reach.x[~over]).all() and (y[~over] >= reach.y[~over]).all()
        assert all(fewest_steps(columns) <= 1 for columns in np.abs(x - before)[~over])
        slack.append((reach.x - x)[~over].mean())
    vector.close()
    assert 0.05 < np.mean(slack) < 6  # columns: it does bound


def test_where_one_hazard_is_alone_it_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playing the last step again without the other kinds says the same."""
    tasks = [Task("none", level, 200) for level in range(60)]
    known = [row["death_cause"] for row in finals(make("sparse", 32, tasks), tasks=tasks)]
    monkeypatch.setattr(tracking, "only_hazard", lambda *_: "")
    played = [row["death_cause"] for row in finals(make("sparse", 32, tasks), tasks=tasks)]
    assert known == played
    assert {"saw", "lava"} <= set(known)
    monkeypatch.setattr(tracking, "only_hazard", lambda *_: "fright")
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
        ({"tasks": []}, "tasks=[]: must be one episode"),
        ({"tasks": TASKS, "coin": "none"}, "they have their own coin"),
        ({"tasks": TASKS, "time_limit": 9}, "they have their own coin"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        envs.make_vec(2, **arguments)


@pytest.mark.parametrize("values", [("mix:0.5:none:end", 1, 9), ("end", -1, 9), ("end", 1, 0)])
def test_wrong_tasks_are_named(values: tuple[str, int, int]) -> None:
    with pytest.raises(InputError, match="of a task"):
        Task(*values)
