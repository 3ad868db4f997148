"""What trainings and studies need to know of the gridworld."""

from envs.game import Game
from envs.gridworld.layouts import ACTIONS, layouts_of
from envs.gridworld.placements import parse_cheese
from envs.gridworld.settings import GridSettings


def check_grid(coin: str, *, grid: GridSettings) -> None:
    """Raise InputError where the grid cannot be, or the cheese cannot lie in it."""
    for layout in layouts_of(grid):
        parse_cheese(coin).probabilities(layout)


GAME = Game(
    name="gridworld",
    time_limit=100,
    parse_coin=parse_cheese,
    make_vec="envs.gridworld.vector:make_grid_vec",
    distinct_actions=tuple((number,) for number in range(len(ACTIONS))),
    options=("grid",),
    frames=False,
    check=check_grid,
    presets={"exact": "gridworld", "ppo": "gridworld-ppo"},
)
