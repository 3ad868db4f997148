from .clips import Clip, record
from .config import cores
from .edit import agent_of, move_coin, render_states
from .films import COLORS, evenly, film_strip, gif_bytes, shot
from .games import find_game
from .learned import NetworkPolicy
from .make import make_vec, to_sb3
from .native import NOOP
from .parse import check_held_out, parse_levels, parse_placement
from .placements import Placement
from .reach import fewest_steps
from .replays import Replay, replay
from .scripted import (
    LEFT,
    LEFT_JUMP,
    RIGHT,
    RIGHT_JUMP,
    CoinBlindPolicy,
    CoinSeekerPolicy,
    RandomPolicy,
)
from .settings import PLAIN_FLAT, LevelSettings
from .sheet import level_sheet
from .simulator import scratch
from .tasks import Task
from .vector import ProcgenVectorEnv

ENV_ID: str

__all__ = [
    "COLORS",
    "ENV_ID",
    "LEFT",
    "LEFT_JUMP",
    "NOOP",
    "PLAIN_FLAT",
    "RIGHT",
    "RIGHT_JUMP",
    "Clip",
    "CoinBlindPolicy",
    "CoinSeekerPolicy",
    "LevelSettings",
    "NetworkPolicy",
    "Placement",
    "ProcgenVectorEnv",
    "RandomPolicy",
    "Replay",
    "Task",
    "agent_of",
    "check_held_out",
    "cores",
    "evenly",
    "fewest_steps",
    "film_strip",
    "find_game",
    "gif_bytes",
    "level_sheet",
    "make_vec",
    "move_coin",
    "parse_levels",
    "parse_placement",
    "record",
    "render_states",
    "replay",
    "scratch",
    "shot",
    "to_sb3",
]
