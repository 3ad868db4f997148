"""What happens in play: coins pay where they lie, outcomes and causes are reported right."""

from typing import Any, Literal

import numpy as np
import pytest

import envs
from envs.edit import agent_of, coins_of
from envs.games import find_procgen
from envs.state import State
from rl_slt import InputError

Mode = Literal["easy", "hard"]
STAY = np.array([4])


def put_agent(vector: Any, cell: tuple[int, int]) -> None:
    """Move the running agent into a cell."""
    state = State(vector.game_state(0))
    find_procgen("coinrun").write_agent(state, cell)
    vector._native.set_state(0, state.data)


@pytest.mark.parametrize("coin", ["ground", "section", "behind", "end"])
def test_the_coin_pays_and_ends_the_episode_where_it_lies(coin: str) -> None:
    vector = envs.make_vec(1, coin, (0, 40), order="sequential", track=True)
    for _ in range(25):
        _, infos = vector.reset()
        put_agent(vector, tuple(infos["coin_xy"][0]))
        _, rewards, terminated, truncated, infos = vector.step(STAY)
        assert rewards[0] == 10 and terminated[0] and not truncated[0]
        assert infos["final_info"]["outcome"][0] == "coin"
        assert infos["final_info"]["coin_collected"][0]
        assert infos["final_info"]["end_reached"][0] == (coin == "end")
    vector.close()


@pytest.mark.parametrize("coin", ["ground", "section", "behind", "none"])
def test_the_old_place_of_the_coin_does_not_pay(coin: str) -> None:
    vector = envs.make_vec(1, coin, (0, 40), order="sequential", track=True)
    for seed in range(25):
        _, infos = vector.reset()
        end = vector._simulator.layout(seed).end
        put_agent(vector, end)
        _, rewards, terminated, _, infos = vector.step(STAY)
        assert rewards[0] == 0 and not terminated[0]
        assert infos["end_reached"][0]
    vector.close()


def test_both_tells_the_two_coins_apart() -> None:
    vector = envs.make_vec(1, "both", (0, 40), order="sequential", track=True)
    for turn in range(20):
        _, infos = vector.reset()
        end = vector._simulator.layout(int(infos["level_seed"][0])).end
        displaced = tuple(infos["coin_xy"][0].tolist())
        assert len(coins_of(vector.game_state(0))) == 2
        target = displaced if turn % 2 else end
        put_agent(vector, (target[0], target[1] + 2))
        for _ in range(20):  # fall upon it
            _, rewards, terminated, _, infos = vector.step(STAY)
            if terminated[0]:
                break
        assert terminated[0], turn
        final = infos["final_info"]
        assert rewards[0] == 10 and final["outcome"][0] == "coin"
        assert final["coin_collected"][0] == (target == displaced)
        assert final["end_reached"][0] == (target == end)
    vector.close()


def test_stop_at_end_ends_with_the_true_frame() -> None:
    vector = envs.make_vec(1, "none", (3, 4), track=True, stop_at_end=True)
    vector.reset()
    put_agent(vector, vector._simulator.layout(3).end)
    frame = envs.render_states([vector.game_state(0)], envs.LevelSettings())[0]
    _, rewards, terminated, truncated, infos = vector.step(STAY)
    assert terminated[0] and not truncated[0] and rewards[0] == 0
    assert infos["final_info"]["outcome"][0] == "end"
    assert (infos["final_obs"][0] == frame).mean() > 0.9  # one step of standing still later


def test_without_stop_the_end_is_only_noted() -> None:
    vector = envs.make_vec(1, "none", (3, 4), track=True)
    vector.reset()
    put_agent(vector, vector._simulator.layout(3).end)
    _, _, terminated, _, infos = vector.step(STAY)
    assert infos["end_reached"][0] and not terminated[0]


def test_end_reached_is_what_the_stock_coin_would_have_seen() -> None:
    """Twins with the same actions: where one collects the coin the other reaches the end."""
    rng = np.random.default_rng(0)
    with_coin = envs.make_vec(8, "end", (0, 60), order="sequential", track=True)
    without = envs.make_vec(8, "none", (0, 60), order="sequential", track=True, stop_at_end=True)
    with_coin.reset()
    without.reset()
    reached = 0
    for _ in range(300):
        action = np.where(rng.random(8) < 0.2, rng.integers(0, 15, 8), 8)
        one, two = with_coin.step(action), without.step(action)
        np.testing.assert_array_equal(one[2], two[2])
        if one[2].any():
            outcomes = two[4]["final_info"]["outcome"][one[2]]
            expected = np.where(one[1][one[2]] > 0, "end", "death")
            assert outcomes.tolist() == expected.tolist()
            reached += int((one[1] > 0).sum())
    assert reached > 12
    with_coin.close()
    without.close()


@pytest.mark.parametrize("mode", ["easy", "hard"])
def test_causes_of_death(mode: Mode) -> None:
    """Every hazard of a level, touched from just outside, is named as the cause."""
    settings = envs.LevelSettings(distribution_mode=mode)
    vector = envs.make_vec(1, "none", (0, 300), order="sequential", track=True, settings=settings)
    found = {"saw": 0, "lava": 0, "enemy": 0}
    for seed in range(150):
        layout: Any = vector._simulator.layout(seed)
        lava = [(x, y) for y, x in np.argwhere(vector._simulator.level(seed).grid == 18).tolist()]
        places = {"saw": layout.saws, "enemy": layout.enemies, "lava": lava}
        for cause, cells in places.items():
            others = [x for name, c in places.items() if name != cause for x, _ in c]
            alone = cells and not any(abs(x - cells[-1][0]) < 6 for x in others)
            if not alone or found[cause] >= 5:
                continue
            vector._queue.load({"queue_taken": np.array([seed])})
            vector.reset()
            x, y = cells[-1]
            put_agent(vector, (x, y + 2))
            for _ in range(12):  # fall upon it
                _, _, terminated, _, infos = vector.step(STAY)
                if terminated[0]:
                    assert infos["final_info"]["death_cause"][0] == cause
                    found[cause] += 1
                    break
    assert min(found.values()) >= (5 if mode == "hard" else 3), found
    vector.close()


@pytest.mark.parametrize("mode", ["easy", "hard"])
def test_nobody_dies_where_mid_level_starts_put_them(mode: Mode) -> None:
    settings = envs.LevelSettings(distribution_mode=mode)
    for first in range(0, 600, 50):
        levels = (first, first + 50)
        vector = envs.make_vec(50, "behind", levels, settings=settings, order="sequential")
        vector.reset()
        for _ in range(3):
            assert not vector.step(np.full(50, STAY))[2].any()
        vector.close()


def test_untracked_deaths_have_no_known_cause() -> None:
    vector = envs.make_vec(16, "end", seed=0)
    vector.reset()
    causes = set()
    for _ in range(120):
        *_, infos = vector.step(np.full(16, 8))
        if "final_info" in infos:
            causes |= set(infos["final_info"]["death_cause"][infos["_final_info"]])
    assert causes == {"", "unknown"}


def test_mixtures_are_drawn_again_for_every_episode() -> None:
    vector = envs.make_vec(16, "mix:0.3:none:end", (0, 4), seed=5, time_limit=1)
    parts: dict[int, list[bool]] = {}
    vector.reset()
    for _ in range(120):
        *_, infos = vector.step(np.full(16, 4))
        for seed, xy in zip(infos["level_seed"], infos["coin_xy"], strict=True):
            parts.setdefault(int(seed), []).append(bool(xy[0] < 0))
    shares = [np.mean(values) for values in parts.values()]
    assert len(shares) == 4 and all(abs(share - 0.3) < 0.1 for share in shares)


@pytest.mark.parametrize("coin", ["end", "ground", "mix:0.5:behind:end"])
@pytest.mark.parametrize("track", [False, True])
def test_the_same_seed_gives_the_same_levels_under_every_placement(coin: str, track: bool) -> None:
    stock = envs.make_vec(4, "end", (10, 90), seed=9, time_limit=7)
    other = envs.make_vec(4, coin, (10, 90), seed=9, time_limit=7, track=track)
    stock.reset()
    other.reset()
    for _ in range(60):
        one, two = stock.step(np.full(4, 4)), other.step(np.full(4, 4))
        np.testing.assert_array_equal(one[4]["level_seed"], two[4]["level_seed"])
    stock.close()
    other.close()


def test_sequential_levels_are_dealt_once_each_in_order() -> None:
    vector = envs.make_vec(3, "end@mid", (50, 57), order="sequential", time_limit=4)
    _, infos = vector.reset()
    assert infos["level_seed"].tolist() == [50, 51, 52]
    dealt = infos["level_seed"].tolist()
    for step in range(12):
        *_, ended, infos = vector.step([4, 4, 4])
        assert ended.all() == (step % 4 == 3)
        if ended.all():
            dealt += infos["level_seed"].tolist()
    assert dealt == [50, 51, 52, 53, 54, 55, 56, 50, 51, 52, 53, 54]


def test_editing_moves_the_coin_and_nothing_else() -> None:
    vector = envs.make_vec(1, "end", (3, 4))
    vector.reset()
    state = vector.game_state(0)
    (end,) = coins_of(state)
    moved = envs.move_coin(state, (3, 1))
    assert coins_of(moved) == ((3, 1),) and agent_of(moved) == agent_of(state)
    assert sum(a != b for a, b in zip(state, moved, strict=True)) == 2  # one byte a cell
    assert envs.move_coin(moved, end) == state
    gone = envs.move_coin(state, None)
    assert coins_of(gone) == () and envs.move_coin(gone, end) == state
    here, there, nowhere = envs.render_states([state, moved, gone], envs.LevelSettings())
    assert (here != there).any() and (there != nowhere).any()


def test_editing_refuses_cells_and_settings_that_do_not_fit() -> None:
    vector = envs.make_vec(1, "end", (3, 4))
    vector.reset()
    state = vector.game_state(0)
    for cell in ((0, 0), (64, 1), (3, -1)):
        with pytest.raises(InputError, match=r"xy=.*must be a (free )?cell"):
            envs.move_coin(state, cell)
    with pytest.raises(InputError, match=r"of the state=.*as set"):
        envs.render_states([state], envs.PLAIN_FLAT)
