"""Making environments: the calls that users know."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envs.config import Order, Track, VecConfig
from envs.level_seeds import parse_levels
from envs.parse import parse_placement
from envs.placements import Placement
from envs.settings import LevelSettings
from envs.tasks import Task
from envs.vector import ProcgenVectorEnv

if TYPE_CHECKING:
    from envs.sb3 import ProcgenSB3VecEnv


def make_vec(
    num_envs: int,
    coin: str | Placement = "end",
    levels: str | tuple[int, int] | None = None,
    seed: int = 0,
    *,
    settings: LevelSettings | None = None,
    time_limit: int | None = None,
    track: Track = False,
    order: Order = "drawn",
    stop_at_end: bool = False,
    game: str = "coinrun",
    tasks: Sequence[Task] | None = None,
    threads: int | None = None,
    render_mode: str | None = None,
) -> ProcgenVectorEnv:
    """A gymnasium.vector.VectorEnv of procgen games, autoreset in the same step.

    Args:
        num_envs: number of environments.
        coin: a placement or its text, see `envs.parse_placement`.
        levels: half-open range of level seeds, a pair or `A:B`; None and `all` are unlimited.
        seed: of the level sequences and of mixtures; `reset(seed=...)` starts them anew.
        settings: the levels' difficulty, parts and looks.
        time_limit: steps until an episode is truncated (default: procgen's own limit, 1000).
        track: follow the agents: `agent_xy`, `end_reached`, `coin_collected`, causes of death.
            `sparse` looks at them only when they may have come to the end or to one of two coins:
            episodes end just the same, several times as fast, and `agent_xy` is where the agent
            was seen last.
        order: `drawn` as procgen draws levels, or `sequential`: environment i starts on the
            i-th level of the range, each next episode anywhere takes the next one.
        stop_at_end: end an episode where the agent reaches the end column (needs track).
        game: `coinrun` or `maze`.
        tasks: episodes to play, each once, dealt out as environments come free, instead of `coin`,
            `levels`, `time_limit` and `order`; the vector's `task` says which are being played.
        threads: that step the games; what happens is the same. On idle cores several take two
            thirds of the time, and a fifth more work; None is 4 (at most the cores there are) for
            32 environments or more, else 1.
        render_mode: `rgb_array` or None.

    Raises:
        InputError: naming the first wrong value.
    """
    config = VecConfig(
        num_envs=num_envs,
        placement=parse_placement(coin),
        levels=parse_levels(levels),
        seed=seed,
        settings=settings or LevelSettings(),
        time_limit=time_limit,
        track=track,
        order=order,
        stop_at_end=stop_at_end,
        game=game,
        tasks=None if tasks is None else tuple(tasks),
        threads=threads,
    )
    return ProcgenVectorEnv(config, render_mode)


def to_sb3(vector: Any) -> "ProcgenSB3VecEnv":
    """A stable-baselines3 VecEnv over a vector environment of `make_vec` (not reset yet)."""
    from envs.sb3 import ProcgenSB3VecEnv  # imports torch: only who trains pays for it

    return ProcgenSB3VecEnv(vector)
