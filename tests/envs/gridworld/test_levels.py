"""Layouts and placements of the gridworld, against maps stated literally."""

import numpy as np
import pytest

from envs.gridworld import ACTIONS, CheeseGrid, parse_cheese, parse_layout
from rl_slt import InputError

ROOM = """
    ..#.
    .#..
    ....
    .#..
"""


def test_moves_and_distances_of_a_map() -> None:
    layout = parse_layout(ROOM)
    assert str(layout) == "..#.\n.#..\n....\n.#.."
    moves = dict(zip(ACTIONS, layout.successors.T, strict=True))
    assert moves["right"].reshape(4, 4)[0].tolist() == [0, 1, 3, 3]  # a wall at column 1
    assert moves["up"].reshape(4, 4)[1].tolist() == [8, 5, 10, 11]  # and above it
    assert moves["left"].reshape(4, 4)[3].tolist() == [12, 12, 14, 15]
    assert moves["down"].reshape(4, 4)[:, 0].tolist() == [0, 0, 4, 8]
    distances = layout.distances.reshape(4, 4, 4, 4)
    assert distances[3, 1, 3, 3] == 8  # around the walls, from (1, 3) to the corner
    assert distances[0, 0, 0, 2] == 4
    assert np.isinf(distances[0, 0, 0, 1]) and np.isinf(distances[0, 1, 0, 0])


@pytest.mark.parametrize(
    ("walls", "message"),
    [
        ("..\n.x", "must be lines of equal length of # (wall) and ."),
        ("..\n...", "must be lines of equal length"),
        ("...\n...", "size of the grid=(2, 3): must be square"),
        (".#\n..", "walls: must leave the top right corner free"),
        (".#.\n###\n...", "walls: must leave free cells that are connected"),
        (("..\n..", "...\n...\n..."), "walls: must be maps of one size"),
        (1.0, "walls=1.0: must be"),
    ],
)
def test_walls_that_are_refused(walls: str | float, message: str) -> None:
    with pytest.raises(InputError) as error:
        CheeseGrid(walls=walls)
    assert message in str(error.value)


def test_random_walls_are_connected_and_of_the_share_asked_for() -> None:
    for seed in range(20):
        grid = CheeseGrid(size=6, walls=0.3, seed=seed, layouts=3)
        for layout in grid.layouts:
            assert (~layout.free).sum() == 11  # 0.3 of 36, rounded
            assert np.isfinite(layout.distances[layout.corner, layout.states]).all()
        assert len({str(layout) for layout in grid.layouts}) > 1
    first, again = (CheeseGrid(walls=0.2, seed=5).text(0) for _ in range(2))
    assert first == again


def test_placements_are_distributions_over_levels() -> None:
    grid = CheeseGrid(size=3)
    corner, anywhere = (grid.probabilities(text) for text in ("corner", "anywhere"))
    assert corner.tolist() == [0] * 8 + [1]
    assert anywhere == pytest.approx(np.full(9, 1 / 9))
    assert grid.probabilities("at=1,0").tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert grid.probabilities("mix:0.3:anywhere:corner") == pytest.approx(
        0.3 * anywhere + 0.7 * corner, abs=1e-15
    )
    rooms = CheeseGrid(walls=("...\n.#.\n...", "...\n...\n.##"))
    shares = rooms.probabilities("anywhere")  # of layouts first, then of cells
    assert shares == pytest.approx([1 / 16] * 8 + [1 / 14] * 7)
    assert rooms.cheese(7 + 8 - 1) == (2, 2)


@pytest.mark.parametrize("text", ["corner", "anywhere", "at=3,1", "mix:0.1:anywhere:corner",
                                  "mix:0.5:mix:0.2:at=0,0:corner:anywhere"])  # fmt: skip
def test_a_placement_keeps_its_text(text: str) -> None:
    assert str(parse_cheese(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("end", "coin='end': must be corner, anywhere, at=X,Y, mix:P:A:B"),
        ("mix:0.1:anywhere", "must be mix:P:A:B, with two parts A and B"),
        ("mix:2:anywhere:corner", "must be mix:P:A:B with P from 0 to 1, not '2'"),
        ("mix:0.1:anywhere:ground", "wrong at 'ground'"),
        ("corner:anywhere", "must be one placement; it goes on with ':anywhere'"),
        ("at=1", "must be corner, anywhere, at=X,Y"),
    ],
)
def test_placements_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_cheese(text)
    assert message in str(error.value)


def test_a_cheese_in_a_wall_is_refused() -> None:
    with pytest.raises(InputError, match=r"at=1,1.*a free cell of a grid of size 3"):
        CheeseGrid(walls="...\n.#.\n...").probabilities("at=1,1")
