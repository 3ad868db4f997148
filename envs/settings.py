"""Settings: of levels (apart from where coin and agent are put), and of vector environments."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from envs.game import ProcgenGame
from envs.games import find_procgen
from envs.level_seeds import N_LEVELS
from envs.placements import End, Placement
from envs.tasks import Task
from rl_slt import InputError, SettingsModel

MODES = {"easy": 0, "hard": 1, "memory": 10}  # procgen's numbers
NO_PITS, NO_CRATES, FLAT = 2, 4, 8  # procgen's debug_mode bits


class LevelSettings(SettingsModel):
    """How procgen draws its levels and their look."""

    distribution_mode: Literal["easy", "hard", "memory"] = "easy"  # memory for the maze alone
    pits: StrictBool = True  # pits with lava, saws or enemies
    crates: StrictBool = True  # piles of crates
    steps: StrictBool = True  # ground that rises and falls
    monsters: StrictBool = True  # walking enemies (easy levels have them in pits alone)
    backgrounds: StrictBool = True  # background pictures
    restrict_themes: StrictBool = False  # one theme for each kind of object
    monochrome: StrictBool = False  # rectangles of one color in place of pictures

    def native_options(self) -> dict[str, Any]:
        """The keywords by which procgen is made: see `envs.library`."""
        off = {NO_PITS: not self.pits, NO_CRATES: not self.crates, FLAT: not self.steps}
        return {
            "distribution_mode": self.distribution_mode,
            "debug_mode": sum(bit for bit, is_off in off.items() if is_off),
            "use_backgrounds": self.backgrounds,
            "restrict_themes": self.restrict_themes,
            "use_monochrome_assets": self.monochrome,
        }

    def state_options(self) -> dict[str, int]:
        """What a state made under these settings says of them."""
        numbers = self.native_options() | {"distribution_mode": MODES[self.distribution_mode]}
        return {name: int(number) for name, number in numbers.items()}


PLAIN_FLAT = LevelSettings(
    pits=False, crates=False, steps=False, backgrounds=False, restrict_themes=True, monochrome=True
)
"""Flat levels without hazards in plain assets, as the demo has."""

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
        if self.track == "sparse" and not self.game_object.known_motion:
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
    def game_object(self) -> ProcgenGame:
        """The game by its name."""
        return find_procgen(self.game)

    @property
    def step_threads(self) -> int:
        """How many threads step the games: where nothing was said, as many as pay."""
        if self.threads is not None:
            return self.threads
        return min(MOST_THREADS, cores()) if self.num_envs >= MANY else 1


def cores() -> int:
    """How many cores this process may use: by its affinity, and by its cgroup's quota, rounded up.

    Containers and batch systems grant a share of a host whose cores are all in sight.
    """
    from dask.system import cpu_count  # here: 0.07 s

    return cpu_count()
