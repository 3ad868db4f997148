"""What a vector environment is asked to be, checked."""

import os
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from envs.games import Game, find_game
from envs.level_seeds import N_LEVELS
from envs.placements import End, Placement
from envs.settings import LevelSettings
from envs.tasks import Task
from rl_slt import InputError, SettingsModel

_BY_TASKS = (End(), None, None, "drawn")  # what tasks decide themselves
Track = Literal[False, True, "sparse"]
Order = Literal["drawn", "sequential"]
MANY, MOST_THREADS = 32, 4  # games from which threads pay; procgen's own number of them


class VecConfig(SettingsModel):
    """The arguments of `envs.make_vec`; see there."""

    num_envs: StrictInt = Field(ge=1)
    placement: Placement = End()
    levels: tuple[int, int] | None = None
    seed: StrictInt = Field(0, ge=0, le=N_LEVELS)
    settings: LevelSettings = LevelSettings()
    time_limit: Annotated[StrictInt, Field(ge=1)] | None = None
    track: Track = False
    order: Order = "drawn"
    stop_at_end: bool = False
    game: str = "coinrun"
    tasks: tuple[Task, ...] | None = None
    threads: Annotated[StrictInt, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.track == "sparse" and self.game != "coinrun":
            raise InputError.of("track", "sparse", f"true or false in {self.game}")
        if self.tasks == ():
            raise InputError.of("tasks", [], "one episode to play or more")
        given = (self.placement, self.levels, self.time_limit, self.order)
        if self.tasks and given != _BY_TASKS:
            raise InputError("tasks: must be alone; they have their own coin, levels, limit, order")
        if self.stop_at_end and not self.track:
            raise InputError.of("stop_at_end", True, "false without track=True")
        modes, mode = self.game_object.modes, self.settings.distribution_mode
        if mode not in modes:
            raise InputError.of("distribution_mode", mode, " or ".join(modes), f"in {self.game}")
        return self

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
