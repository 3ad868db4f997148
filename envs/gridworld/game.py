"""What trainings and studies need to know of the gridworld."""

from envs.game import Game
from envs.gridworld.layouts import ACTIONS
from envs.gridworld.placements import parse_cheese

GAME = Game(
    name="gridworld",
    time_limit=100,
    parse_coin=parse_cheese,
    make_vec="envs.gridworld.vector:make_grid_vec",
    distinct_actions=tuple((number,) for number in range(len(ACTIONS))),
    options=("grid",),
    frames=False,
    presets={"exact": "gridworld", "ppo": "gridworld-ppo"},
)
