"""The gridworld as Gymnasium environments, in vector and single form.

    obs', reward, terminated, truncated, infos = step(action)        (SAME_STEP autoreset)

Levels and starts are drawn from a generator of the seed, the environment and the number of its
episode, so that a state is a few numbers.
"""

import io
import json
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.gridworld.grid import CheeseGrid
from envs.gridworld.layouts import ACTIONS
from envs.gridworld.pictures import pixels
from envs.gridworld.placements import CheesePlacement, parse_cheese
from envs.gridworld.settings import GridSettings
from envs.level_seeds import Seed, check_seed
from envs.make import SingleEnv
from rl_slt import InputError

FPS = 8
TIME_LIMIT = 100
RENDER_MODES = ("rgb_array", None)
Mask = NDArray[np.bool_]


class CheeseVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Mice in grids; made by `make_grid_vec`, whose arguments it has.

    Observations float32 `[n, F]`: one-hot planes, flat, as `CheeseGrid.observations` has them.
    `infos` hold level_seed (the number of the level), coin_xy and agent_xy (cells), and end_reached
    (whether the mouse has been in the corner); episode ends carry outcome, ret, length too.
    """

    metadata = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"], "render_fps": FPS,
    }  # fmt: skip
    _SAVED = ("keys", "number", "level", "state", "length", "ret", "end_reached")

    def __init__(
        self, num_envs: int, grid: CheeseGrid, coin: CheesePlacement, seed: int, time_limit: int,
        render_mode: str | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_envs, self.grid, self.coin, self.time_limit = num_envs, grid, coin, time_limit
        self.render_mode = render_mode
        self.single_observation_space = gymnasium.spaces.Box(0, 1, (grid.features,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._levels = np.cumsum(grid.probabilities(coin))
        self._starts = np.cumsum(grid.starts, axis=1)
        self._successors = np.stack([grid.layout(i).successors for i in range(len(grid.levels))])
        self._cheese = np.array([level.cheese for level in grid.levels])
        self._corner = grid.n_states - 1
        self._begin_all(check_seed(seed))

    def _begin_all(self, seed: Seed) -> None:
        rows = range(self.num_envs)
        keys = [(seed, i) for i in rows] if isinstance(seed, int) else [(s, 0) for s in seed]
        self.keys = np.array(keys)
        self.number = np.zeros(self.num_envs, np.int64)  # episodes begun
        self.level, self.state, self.length = (np.zeros(self.num_envs, np.int64) for _ in range(3))
        self.ret = np.zeros(self.num_envs)
        self.end_reached = np.zeros(self.num_envs, np.bool_)
        self._begin(np.ones(self.num_envs, np.bool_))
        self._untouched = True

    def _begin(self, mask: Mask) -> None:
        """Begin the next episode where the mask says so."""
        for i in np.flatnonzero(mask).tolist():
            draw = np.random.default_rng([*self.keys[i].tolist(), int(self.number[i])]).random(2)
            # The largest sum may be rounded to less than 1.
            self.level[i] = np.searchsorted(self._levels, draw[0] * self._levels[-1], "right")
            starts = self._starts[self.level[i]]
            self.state[i] = np.searchsorted(starts, draw[1] * starts[-1], "right")
        self.number[mask] += 1
        self.length[mask], self.ret[mask] = 0, 0.0
        self.end_reached[mask] = self.state[mask] == self._corner

    def reset(
        self, *, seed: Seed | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a new episode everywhere; with a seed, from the start of that seed's sequence.

        Args:
            seed: from 0 to 2147483647, or a list `[n]` of them: environment i then plays as an
                environment alone does with seed i.
            options: `{"reset_mask": bool [n]}` begins episodes in these environments alone.

        Raises:
            InputError: another seed or option.
        """
        if options and set(options) != {"reset_mask"}:
            raise InputError.of("options", sorted(options), "reset_mask alone, or none")
        if seed is not None:
            seed = check_seed(seed, self.num_envs)
            super().reset(seed=seed if isinstance(seed, int) else seed[0])
            self._begin_all(seed)
        elif options or not self._untouched:
            mask = options["reset_mask"] if options else np.ones(self.num_envs, np.bool_)
            self._begin(np.asarray(mask, np.bool_))
        self._untouched = False
        return self.observe(), self._infos()

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step all environments with actions int `[n]` from 0 to 3: left, right, down, up."""
        actions = np.asarray(actions)
        fine = actions.shape == (self.num_envs,) and actions.dtype.kind in "iu"
        if not fine or actions.min() < 0 or actions.max() >= len(ACTIONS):
            allowed = f"{self.num_envs} integers from 0 to {len(ACTIONS) - 1}"
            raise InputError.of("actions", actions.tolist(), allowed)
        self._untouched = False
        self.state = self._successors[self.level, self.state, actions]
        self.length = self.length + 1
        terminated = self.state == self._cheese[self.level]
        truncated = ~terminated & (self.length >= self.time_limit)
        rewards = terminated.astype(np.float32)
        self.ret = self.ret + rewards
        self.end_reached = self.end_reached | (self.state == self._corner)
        ended, ends = terminated | truncated, {}
        if ended.any():
            final = self._infos() | {
                "ret": self.ret.copy(), "length": self.length.copy(),
                "outcome": np.where(terminated, "coin", "timeout").astype(object),
                "coin_collected": terminated,
            }  # fmt: skip
            final |= {f"_{name}": ended for name in final}
            final_obs, seen = np.full(self.num_envs, None, object), self.observe()
            for i in np.flatnonzero(ended):
                final_obs[i] = seen[i]
            ends = {"final_obs": final_obs, "_final_obs": ended, "final_info": final,
                    "_final_info": ended}  # fmt: skip
            self._begin(ended)
        return self.observe(), rewards, terminated, truncated, self._infos() | ends

    def observe(self) -> NDArray[np.float32]:
        """What the policies see, `[n, F]`."""
        return self.grid.observations[self.level, self.state]

    def _infos(self) -> dict[str, Any]:
        size, cheese = self.grid.size, self._cheese[self.level]
        return {
            "level_seed": self.level.copy(),
            "coin_xy": np.stack([cheese % size, cheese // size], axis=1),
            "agent_xy": np.stack([self.state % size, self.state // size], axis=1),
            "end_reached": self.end_reached.copy(),
        }

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Pictures of the levels as they stand, uint8 `[H, W, 3]`, one for each environment."""
        if self.render_mode is None:
            return None
        return tuple(pixels(observation, self.grid.size) for observation in self.observe())

    def get_state(self) -> bytes:
        """The whole vector environment as bytes."""
        buffer = io.BytesIO()
        header = np.frombuffer(json.dumps(self._header()).encode(), np.uint8)
        np.savez(buffer, header=header, **{name: getattr(self, name) for name in self._SAVED})
        return buffer.getvalue()

    def set_state(self, blob: bytes) -> None:
        """Go on from the bytes of `get_state` of an environment made alike.

        Raises:
            InputError: the bytes are of another environment, or of none.
        """
        try:
            arrays = dict(np.load(io.BytesIO(blob), allow_pickle=False))
            header = json.loads(bytes(arrays.pop("header")))
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise InputError(f"these {len(blob)} bytes are no saved gridworld") from error
        for name, value in self._header().items():
            if header.get(name) != value:
                raise InputError.of(name, header.get(name), f"{value!r}, as in this environment")
        for name in self._SAVED:
            setattr(self, name, arrays[name])
        self._untouched = False

    def _header(self) -> dict[str, Any]:
        return {"num_envs": self.num_envs, "coin": str(self.coin), "time_limit": self.time_limit,
                "grid": self.grid.settings.as_dict()}  # fmt: skip


def make_grid_vec(
    num_envs: int,
    coin: str | CheesePlacement = "corner",
    seed: int = 0,
    *,
    grid: GridSettings | None = None,
    time_limit: int | None = None,
    render_mode: str | None = None,
) -> CheeseVectorEnv:
    """A gymnasium.vector.VectorEnv of mice in grids, autoreset in the same step.

    Args:
        num_envs: number of environments.
        coin: placement of the cheese: corner, anywhere, at=X,Y or mix:P:A:B.
        seed: of levels and starts; `reset(seed=...)` starts them again.
        grid: size and walls.
        time_limit: steps until an episode is truncated; None is 100.
        render_mode: `rgb_array` (`render` gives pictures) or None.

    Raises:
        InputError: naming the first wrong value.
    """
    if not isinstance(num_envs, int) or num_envs < 1:
        raise InputError.of("num_envs", num_envs, "an integer at least 1")
    limit = TIME_LIMIT if time_limit is None else time_limit
    if not isinstance(limit, int) or limit < 1:
        raise InputError.of("time_limit", limit, "an integer at least 1")
    if render_mode not in RENDER_MODES:
        raise InputError.of("render_mode", render_mode, "rgb_array or None")
    levels = CheeseGrid.of(grid or GridSettings(), discount=0.9)  # the discount is the learner's
    return CheeseVectorEnv(num_envs, levels, parse_cheese(coin), seed, limit, render_mode)


class CheeseEnv(SingleEnv):
    """One mouse in a grid; keywords as in `make_grid_vec`, without num_envs."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(make_grid_vec(1, render_mode=render_mode, **options))

    def _frame(self) -> NDArray[np.uint8]:
        return pixels(self._obs, self.vector.grid.size)
