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
from .clips import COLORS, Clip, evenly_spaced, film_strip, gif_bytes, record_clip
from .edit import agent_of, coins_of, move_coin, render_states, standing_states
from .exploration import ENVS, Act, Moment, behaviors, rollout, thinned
from .games import GAMES, find_game, find_procgen
from .gridworld import CheeseGrid, GridSettings, parse_cheese
from .layouts import layout_hash, layout_hashes, layouts_of
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
from .library import procgen_package
from .make import make_vec
from .native import keep_freed_memory, load_images
from .pictures import level_sheet, render_frame, whole_level
from .placements import Placement, parse_placement
from .policies import (
    Classes,
    NetworkPolicy,
    ScriptedPolicy,
    kl,
    log_probs,
    logits_of,
    merge_actions,
    sample_actions,
)
from .replays import Replay, replay
from .sb3 import to_sb3
from .scripted import (
    BASELINES,
    SCRIPTED,
    CoinBlindPolicy,
    CoinSeekerPolicy,
    RandomPolicy,
    Scripted,
    WalkerPolicy,
    parse_teacher,
)
from .settings import PLAIN_FLAT, LevelSettings, cores
from .simulator import shared_simulator
from .tasks import Task
from .tracking import fewest_steps
from .vector import ProcgenVectorEnv

ENV_ID: str

__all__ = [
    "ACTION_NAMES",
    "ALL_LEVELS",
    "BASELINES",
    "CLIP_LEVEL",
    "COLORS",
    "DIRECTION",
    "ENVS",
    "ENV_ID",
    "EVALUATION_LEVELS",
    "FROZEN_LEVELS",
    "GAMES",
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
    "SCRIPTED",
    "Act",
    "CheeseGrid",
    "Classes",
    "Clip",
    "CoinBlindPolicy",
    "CoinSeekerPolicy",
    "GridSettings",
    "LevelSettings",
    "Moment",
    "NetworkPolicy",
    "Placement",
    "ProcgenVectorEnv",
    "RandomPolicy",
    "Replay",
    "Scripted",
    "ScriptedPolicy",
    "Task",
    "WalkerPolicy",
    "agent_of",
    "behaviors",
    "check_held_out",
    "coins_of",
    "cores",
    "evenly_spaced",
    "fewest_steps",
    "film_strip",
    "find_game",
    "find_procgen",
    "gif_bytes",
    "horizontal",
    "keep_freed_memory",
    "kl",
    "layout_hash",
    "layout_hashes",
    "layouts_of",
    "level_sheet",
    "load_images",
    "log_probs",
    "logits_of",
    "make_vec",
    "merge_actions",
    "move_coin",
    "parse_cheese",
    "parse_levels",
    "parse_placement",
    "parse_teacher",
    "procgen_package",
    "record_clip",
    "render_frame",
    "render_states",
    "replay",
    "rollout",
    "sample_actions",
    "shared_simulator",
    "standing_states",
    "thinned",
    "to_sb3",
    "whole_level",
]
