"""Every placement over thousands of level seeds: what was asked for, and nothing else changed."""

import numpy as np
import pytest

import envs
from envs.coinrun import BARRIER, COIN, EMPTY, CoinRunLayout
from envs.games import find_procgen
from envs.placements import Spot
from envs.simulator import Simulator, shared_simulator
from envs.state import State

SETTINGS = {
    "flat": envs.PLAIN_FLAT,
    "easy": envs.LevelSettings(),
    "hard": envs.LevelSettings(distribution_mode="hard"),
}
SEEDS = range(700)
TEXTS = (
    *("end", "section", "ground", "none", "both", "behind", "behind=2-4", "behind=3-8"),
    *("ground=0.8-1.0", "ground=0.25-0.5@mid"),
    *("end@mid", "section@mid", "ground@mid", "none@mid", "both@mid"),
)
PLACEMENTS = {text: envs.parse_placement(text) for text in TEXTS}


class Level:
    """One level and the spots of all placements in it."""

    def __init__(self, spare: Simulator, seed: int) -> None:
        self.state = spare.level(seed)
        self.layout = CoinRunLayout(self.state)
        self.spots = {text: p.place(self.layout) for text, p in PLACEMENTS.items()}

    def placed(self, text: str) -> State:
        state, spot = State(self.state.data), self.spots[text]
        find_procgen("coinrun").write_coins(state, spot.coins)
        if spot.agent is not None:
            find_procgen("coinrun").write_agent(state, spot.agent)
        return state


@pytest.fixture(scope="module", params=SETTINGS)
def levels(request: pytest.FixtureRequest) -> list[Level]:
    spare = shared_simulator("coinrun", SETTINGS[request.param])
    return [Level(spare, seed) for seed in SEEDS]


def standable(level: Level, cell: tuple[int, int]) -> bool:
    """Free with a wall below, nothing deadly or solid in it (read from the raw state)."""
    (x, y), grid = cell, level.state.grid
    objects = level.state.entities[1:, :2].astype(int).tolist()
    return grid[y, x] in (EMPTY, BARRIER) and grid[y - 1, x] in (15, 16) and [x, y] not in objects


def test_coins_are_the_ones_asked_for(levels: list[Level]) -> None:
    for level in levels:
        end = level.layout.end
        for text, spot in level.spots.items():
            name = text.split("@")[0].split("=")[0]
            expected = {"end": (end,), "none": ()}.get(name)
            if expected is not None:
                assert spot.coins == expected
                continue
            assert len(set(spot.coins)) == (2 if name == "both" else 1)
            x, y = spot.coins[0]
            assert 1 < x < end[0] and standable(level, (x, y)), (level.layout.level_seed, text)
            assert spot.coins[0] != spot.agent
            if name == "both":
                assert spot.coins[1] == end


def test_a_coin_lies_within_its_shares_of_the_way_or_as_near_as_it_can(levels: list[Level]) -> None:
    inside = 0
    for level in levels:
        (start, _), (end, _) = level.layout.spawn, level.layout.end
        for text, low, high in (("ground=0.8-1.0", 0.8, 1.0), ("ground=0.25-0.5@mid", 0.25, 0.5)):
            spot = level.spots[text]
            columns = {x for x, y in level.layout.coin_cells if (x, y) != spot.agent}
            gaps = {x: max(low - s, s - high, 0)
                    for x in columns for s in [(x - start) / (end - start)]}  # fmt: skip
            assert gaps[spot.coins[0][0]] == min(gaps.values())
            inside += min(gaps.values()) == 0
            other = level.spots["ground@mid" if "@" in text else "ground"]
            assert spot.agent == other.agent
            if gaps[other.coins[0][0]] == 0:  # the rest of the order is as it was
                assert spot.coins == other.coins
    assert inside > 1.9 * len(levels)


def test_nothing_else_changes(levels: list[Level]) -> None:
    for level in levels[::10]:
        before = bytes(level.state.data)
        for text, spot in level.spots.items():
            after = level.placed(text)
            changed = level.state.grid != after.grid
            cells = {(int(x), int(y)) for y, x in np.argwhere(changed)}
            assert cells == {level.layout.end} ^ set(spot.coins)
            assert (after.grid == COIN).sum() == len(spot.coins)
            after.grid[...] = level.state.grid
            if spot.agent is None:
                assert bytes(after.data) == before
            else:
                after.entities[0, :4] = level.state.entities[0, :4]
                after.own_floats()[0] = level.state.own_floats()[0]
                assert bytes(after.data) == before


def test_mid_starts_are_shared_and_safe(levels: list[Level]) -> None:
    shared = ("behind", "end@mid", "ground@mid", "none@mid", "section@mid", "both@mid")
    for level in levels:
        starts = {level.spots[text].agent for text in shared}
        assert len(starts) == 1
        x, y = starts.pop() or (0, 0)
        assert 1 < x < level.layout.end[0] and standable(level, (x, y))
        for ox, oy in level.state.entities[1:, :2].tolist():
            assert abs(ox - x - 0.5) >= 1 or abs(oy - y - 0.5) > 1.1
        assert all(level.spots[t].agent is None for t in ("end", "section", "ground", "none"))


@pytest.mark.parametrize(("text", "low", "high"), [("behind", 2, 6), ("behind=2-4", 2, 4)])
def test_behind_is_to_the_left_in_view(levels: list[Level], text: str, low: int, high: int) -> None:
    outside = 0
    for level in levels:
        spot = level.spots[text]
        assert spot.agent is not None
        distance = spot.agent[0] - spot.coins[0][0]
        assert distance > 0
        assert abs(spot.agent[1] - spot.coins[0][1]) <= 5
        outside += not low <= distance <= high
    assert outside <= 2  # crowded levels: the nearest that there is


def test_section_share_is_that_of_the_published_fork(levels: list[Level]) -> None:
    share = np.mean([level.spots["section"].coins[0][0] == 5 for level in levels])
    expected = (1 + 5 / 12 + 47 / 180) / 3  # one of d to 2d-1 sections, d from 1 to 3
    assert abs(share - expected) < 3.5 * np.sqrt(expected * (1 - expected) / len(levels))


def test_ground_is_uniform_over_the_standable_columns(levels: list[Level]) -> None:
    ranks = []
    for level in levels:
        columns = [x for x, _ in level.layout.coin_cells]
        ranks.append(
            (np.searchsorted(columns, level.spots["ground"].coins[0][0]) + 0.5) / len(columns)
        )
    counts = np.histogram(ranks, 4, (0, 1))[0] / len(ranks)
    assert abs(np.mean(ranks) - 0.5) < 0.03 and counts.min() > 0.18


def test_a_displaced_coin_stays_where_it_is_when_the_start_moves(levels: list[Level]) -> None:
    for level in levels:
        ground, start = level.spots["ground"].coins, level.spots["ground@mid"].agent
        assert ground == level.spots["ground@mid"].coins or ground[0] == start


def test_sections_of_a_literal_level() -> None:
    layout = shared_simulator("coinrun", envs.LevelSettings()).layout(0)
    assert layout.end == (21, 9)
    assert isinstance(layout, CoinRunLayout)
    heights = [layout.surface(x) for x in range(1, 22)]
    assert heights == [1] * 4 + [5] * 4 + [7] * 6 + [9] * 7
    assert layout.section_cells == [(5, 5), (9, 7), (15, 9)]


def test_spots_do_not_depend_on_anything_but_the_level() -> None:
    layout = shared_simulator("coinrun", envs.LevelSettings()).layout(3)
    assert PLACEMENTS["behind"].place(layout) == Spot(((3, 1),), (6, 3))
