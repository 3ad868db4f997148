from .actions import (
    ACTION_NAMES,
    DIRECTION,
    IDLE,
    JUMP,
    LEFT,
    LEFT_JUMP,
    MOVES,
    N_ACTIONS,
    NOOP,
    RIGHT,
    RIGHT_JUMP,
    horizontal,
)
from .clips import Clip, record
from .config import cores
from .edit import agent_of, move_coin, render_states
from .films import COLORS, evenly, film_strip, gif_bytes, shot
from .games import find_game
from .level_seeds import (
    ALL_LEVELS,
    CLIP_LEVEL,
    EVALUATION_LEVELS,
    FROZEN_LEVELS,
    N_LEVELS,
    PROBE_LEVELS,
    check_held_out,
    parse_levels,
)
from .make import make_vec, to_sb3
from .parse import parse_placement
from .placements import Placement
from .policies import NetworkPolicy, kl, log_probs, logits_of, sample_actions
from .reach import fewest_steps
from .replays import Replay, replay
from .scripted import CoinBlindPolicy, CoinSeekerPolicy, RandomPolicy
from .settings import PLAIN_FLAT, LevelSettings
from .sheet import level_sheet
from .simulator import scratch
from .tasks import Task
from .vector import ProcgenVectorEnv

ENV_ID: str

__all__ = [
    "ACTION_NAMES",
    "ALL_LEVELS",
    "CLIP_LEVEL",
    "COLORS",
    "DIRECTION",
    "ENV_ID",
    "EVALUATION_LEVELS",
    "FROZEN_LEVELS",
    "IDLE",
    "JUMP",
    "LEFT",
    "LEFT_JUMP",
    "MOVES",
    "NOOP",
    "N_ACTIONS",
    "N_LEVELS",
    "PLAIN_FLAT",
    "PROBE_LEVELS",
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
    "horizontal",
    "kl",
    "level_sheet",
    "log_probs",
    "logits_of",
    "make_vec",
    "move_coin",
    "parse_levels",
    "parse_placement",
    "record",
    "render_states",
    "replay",
    "sample_actions",
    "scratch",
    "shot",
    "to_sb3",
]
