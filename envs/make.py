"""Making environments, in Gymnasium's vector form and its single form."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.level_seeds import check_seed, parse_levels
from envs.placements import Placement, parse_placement
from envs.settings import LevelSettings, Order, Track, VecConfig
from envs.tasks import Task
from envs.vector import FPS, ProcgenVectorEnv


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
        seed: of the level sequences and of mixtures; `reset(seed=...)` starts them again.
        settings: the levels' difficulty, parts and looks.
        time_limit: steps until an episode is truncated (default: the game's own).
        track: the agents: `agent_xy` (cells), `end_reached`, `coin_collected`, causes of death.
            `sparse` reads them only when they may have come to the end or to one of two coins:
            episodes end just the same, several times as fast, and `agent_xy` is where the agent
            was seen last.
        order: `drawn` as procgen draws levels, or `sequential`: environment i starts on the
            i-th level of the range, each next episode anywhere takes the next one.
        stop_at_end: end an episode where the agent reaches the end column (needs track).
        game: one of `envs.games.GAMES`, `coinrun` or `maze`.
        tasks: episodes to play, each once, given to environments as they come free, instead of
            `coin`, `levels`, `time_limit` and `order`; `task` of the result says which are played.
        threads: that step the games; what happens is the same. On idle cores several take two
            thirds of the time, and a fifth more work; None is 4 (at most the cores there are) for
            32 environments or more, else 1.
        render_mode: `rgb_array` (`render` gives the frames) or None. There is no window of its own:
            `gymnasium.wrappers.vector.HumanRendering` has one.

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


class SingleEnv(gymnasium.Env[NDArray[Any], np.int64]):
    """One environment of a vector of one; at the end of an episode it shows that one's last state.

    Args:
        vector: of one environment, autoreset in the same step.
    """

    def __init__(self, vector: Any) -> None:
        self.vector, self.render_mode = vector, vector.render_mode
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space
        self._obs: NDArray[Any] = np.zeros_like(self.observation_space.sample())
        self._next: tuple[NDArray[Any], dict[str, Any]] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """The next level; with a seed, the first of that seed's sequence; options as in vectors."""
        seed = seed if seed is None else check_seed(seed)
        super().reset(seed=seed)
        if seed is not None or options or self._next is None:
            obs, infos = self.vector.reset(seed=seed, options=options)
            self._next = obs[0], _row(infos)
        (self._obs, info), self._next = self._next, None
        return self._obs, info

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """One step with the number of an action."""
        obs, rewards, terminated, truncated, infos = self.vector.step(np.asarray([action]))
        info = _row(infos)
        if terminated[0] or truncated[0]:
            self._next = obs[0], info
            self._obs, info = infos["final_obs"][0], _row(infos["final_info"])
        else:
            self._obs = obs[0]
        return self._obs, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame, uint8 `[H, W, 3]`."""
        return self._frame() if self.render_mode == "rgb_array" else None

    def _frame(self) -> NDArray[np.uint8]:
        """The observation itself, where it is a frame."""
        return self._obs

    def close(self) -> None:
        """Close the game."""
        self.vector.close()
        self._next = None


class ProcgenEnv(SingleEnv):
    """One game with controlled coin and start; keywords as in `envs.make_vec`, without num_envs.

    The frame of a step that ends an episode is the true last one after a time limit and
    `stop_at_end`; procgen shows none after a death or a coin, and the frame before stands in.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(make_vec(1, render_mode=render_mode, **options))


def _row(infos: dict[str, Any]) -> dict[str, Any]:
    """The only environment's own infos."""
    return {name: value[0] for name, value in infos.items() if not name.startswith(("_", "final_"))}
