"""CoinRun (and kin) from procgen with full control of where the coin lies and the agent starts."""

import gymnasium

from envs.edit import move_coin, render_states
from envs.make import make_vec, to_sb3
from envs.parse import check_held_out, parse_levels, parse_placement
from envs.placements import Placement
from envs.settings import PLAIN_FLAT, LevelSettings
from rl_slt import InputError

ENV_ID = "rl_slt/CoinRun-v0"
gymnasium.register(
    ENV_ID, entry_point="envs.single:ProcgenEnv", vector_entry_point="envs.make:make_vec"
)

__all__ = [
    "ENV_ID",
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
