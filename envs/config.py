"""What a vector environment is asked to be, checked."""

import os
from dataclasses import dataclass, field
from typing import Any

from envs.games import Game, find_game
from envs.level_seeds import N_LEVELS, parse_levels
from envs.parse import parse_placement
from envs.placements import End, Placement
from envs.settings import LevelSettings
from envs.tasks import Task
from rl_slt import InputError

ORDERS = ("drawn", "sequential")
TRACKS = (False, True, "sparse")
MANY, MOST_THREADS = 32, 4  # games from which threads pay; procgen's own number of them


@dataclass(frozen=True)
class VecConfig:
    """The arguments of `envs.make_vec`; see there."""

    num_envs: int
    placement: Placement = field(default_factory=End)
    levels: tuple[int, int] | None = None
    seed: int = 0
    settings: LevelSettings = field(default_factory=LevelSettings)
    time_limit: int | None = None
    track: bool | str = False
    order: str = "drawn"
    stop_at_end: bool = False
    game: str = "coinrun"
    tasks: tuple[Task, ...] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.num_envs, int) or self.num_envs < 1:
            raise InputError(f"num_envs is {self.num_envs!r}, allowed: integers from 1")
        if not isinstance(self.seed, int) or not 0 <= self.seed <= N_LEVELS:
            raise InputError(f"seed is {self.seed!r}, allowed: integers from 0 to {N_LEVELS}")
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise InputError(f"threads is {self.threads!r}, allowed: integers from 1, or none")
        limit = self.time_limit
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise InputError(f"time_limit is {limit!r}, allowed: steps from 1, or none")
        if self.order not in ORDERS:
            raise InputError(f"order {self.order!r} is not one of {', '.join(ORDERS)}")
        if self.track not in TRACKS:
            raise InputError(f"track is {self.track!r}, allowed: True, False or 'sparse'")
        if self.track == "sparse" and self.game != "coinrun":
            raise InputError(f"track='sparse' knows how agents of coinrun move, not of {self.game}")
        if self.tasks is not None:
            self._check_tasks(self.tasks)
        if self.stop_at_end and not self.track:
            raise InputError("stop_at_end needs track=True: it follows the agent's position")
        modes, mode = self.game_object.modes, self.settings.distribution_mode
        if mode not in modes:
            raise InputError(f"{self.game} has no mode {mode!r}, allowed: {', '.join(modes)}")

    def _check_tasks(self, tasks: tuple[Task, ...]) -> None:
        if not tasks:
            raise InputError("tasks is empty, allowed: one episode to play or more")
        own = (self.placement, self.levels, self.time_limit, self.order)
        if own != (End(), None, None, ORDERS[0]):
            raise InputError("tasks have their own coin, level, limit and order: give no others")

    @property
    def game_object(self) -> Game:
        """The game by its name."""
        return find_game(self.game)

    @property
    def step_threads(self) -> int:
        """How many threads step the games: where nothing was said, as many as pay."""
        if self.threads is not None:
            return self.threads
        return min(MOST_THREADS, cores()) if self.num_envs >= MANY else 1

    @property
    def stock(self) -> bool:
        """Whether episodes begin just as procgen begins them."""
        game = self.game_object
        same = game.stock_is_end and (self.settings.monsters or game.enemy is None)
        plain = self.placement == End() and self.order == "drawn" and self.tasks is None
        return same and plain


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_config(num_envs: int, coin: Any, levels: Any, seed: int, **others: Any) -> VecConfig:
    """A VecConfig from what users write: placements and level ranges may be text."""
    return VecConfig(num_envs, parse_placement(coin), parse_levels(levels), seed, **others)
