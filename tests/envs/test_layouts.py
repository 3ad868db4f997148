"""Layout hashes: the same for the same ground, whatever its looks."""

import numpy as np
import pytest

import envs
from envs.simulator import shared_simulator
from envs.state import State

EASY = envs.LevelSettings()


def test_looks_do_not_count() -> None:
    plain = envs.LevelSettings(backgrounds=False, monochrome=True)
    themed = envs.LevelSettings(restrict_themes=True)
    seeds = range(200, 260)
    usual = envs.layout_hashes(seeds)
    for other in (plain, themed):
        np.testing.assert_array_equal(usual, envs.layout_hashes(seeds, other))
    simulator = shared_simulator("coinrun", EASY)
    for seed, value in zip(seeds, usual.tolist(), strict=True):
        fresh = simulator.level(seed)
        end = envs.parse_placement("end")
        stock = simulator.placed(simulator.level(seed), end, simulator.spot(seed, end)[0])
        assert envs.layout_hash(stock) == envs.layout_hash(fresh) == value


def test_grid_coin_and_start_count() -> None:
    state = shared_simulator("coinrun", EASY).level(7)
    before = envs.layout_hash(state)
    y, x = (int(place) for place in np.argwhere(state.grid == 1)[0])
    end = envs.layout_hash
    moved = State(envs.move_coin(bytes(state.data), (x - 1, y)))
    wall = State(state.data)
    wall.grid[y, x - 1] = 15
    agent = State(state.data)
    agent.entities[0, 0] += 1
    assert len({before, end(moved), end(wall), end(agent)}) == 4


def test_two_seeds_of_one_layout_differ_in_looks_alone() -> None:
    hashes = envs.layout_hashes(range(300), envs.PLAIN_FLAT)
    first: dict[int, int] = {}
    pairs = [(first[h], s) for s, h in enumerate(hashes.tolist()) if first.setdefault(h, s) != s]
    assert len(pairs) > 100  # plain flat levels: most layouts recur
    simulator = shared_simulator("coinrun", envs.PLAIN_FLAT)
    for a, b in pairs[:20]:
        np.testing.assert_array_equal(simulator.level(a).grid, simulator.level(b).grid)


@pytest.mark.parametrize("game", ["maze"])
def test_other_games_have_layouts(game: str) -> None:
    settings = envs.LevelSettings()
    assert len(set(envs.layout_hashes(range(20), settings, game).tolist())) > 15
