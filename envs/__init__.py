"""CoinRun (and kin) from procgen with full control of where the coin lies and the agent starts."""

from envs.edit import move_coin, render_states
from envs.errors import InputError
from envs.make import make_vec, to_sb3
from envs.parse import check_held_out, parse_levels, parse_placement
from envs.placements import Placement
from envs.settings import PLAIN_FLAT, LevelSettings

__all__ = [
    "PLAIN_FLAT",
    "InputError",
    "LevelSettings",
    "Placement",
    "check_held_out",
    "make_vec",
    "move_coin",
    "parse_levels",
    "parse_placement",
    "render_states",
    "to_sb3",
]
