"""The single environment in Gymnasium's form: the vector environment with one game."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.make import make_vec


class ProcgenEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One game with controlled coin and start; keywords as in `envs.make_vec`, without num_envs.

    The frame of a step that ends an episode is the true last one after a time limit and
    `stop_at_end`; procgen shows none after a death or a coin, and the frame before stands in.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self.render_mode = render_mode
        self.vector = make_vec(1, render_mode=render_mode, **options)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self._obs = np.zeros((64, 64, 3), np.uint8)
        self._fresh: tuple[NDArray[np.uint8], dict[str, Any]] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """The next level; with a seed, the first of that seed's sequence."""
        super().reset(seed=seed)
        if seed is not None or self._fresh is None:
            obs, infos = self.vector.reset(seed=seed)
            self._fresh = obs[0], _row(infos)
        (self._obs, info), self._fresh = self._fresh, None
        return self._obs, info

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """One step with an action from 0 to 14."""
        obs, rewards, terminated, truncated, infos = self.vector.step(np.asarray([action]))
        info = _row(infos)
        if terminated[0] or truncated[0]:
            self._fresh = obs[0], info
            self._obs, info = infos["final_obs"][0], _row(infos["final_info"])
        else:
            self._obs = obs[0]
        return self._obs, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> NDArray[np.uint8] | None:
        """The current frame [64, 64, 3]."""
        return self._obs if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the game."""
        self.vector.close()


def _row(infos: dict[str, Any]) -> dict[str, Any]:
    """The only environment's own infos."""
    return {name: value[0] for name, value in infos.items() if not name.startswith(("_", "final_"))}
