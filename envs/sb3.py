"""A vector environment as stable-baselines3 wants it."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from envs.vector import ProcgenVectorEnv
from rl_slt import InputError


class ProcgenSB3VecEnv(VecEnv):
    """Frames uint8 [n, 64, 64, 3], the vector environment's own arrays, never copied again.

    Where an episode ended its info holds `episode` {r, l, t} as a Monitor writes it,
    `terminal_observation`, `TimeLimit.truncated`, and all that the vector environment says of the
    episode (`outcome`, `level_seed`, `coin_xy`, ...). Other infos are empty.

    All environments are one object: attributes cannot be set, nor are there options for `reset`.
    """

    def __init__(self, vector: ProcgenVectorEnv) -> None:
        self.vector = vector
        self._actions: NDArray[Any] = np.zeros(vector.num_envs, np.int64)
        self._started = time.time()
        self.render_mode = vector.render_mode
        super().__init__(
            vector.num_envs, vector.single_observation_space, vector.single_action_space
        )
        self.metadata["render_fps"] = vector.metadata["render_fps"]  # for VecVideoRecorder

    def reset(self) -> NDArray[np.uint8]:
        """Begin new episodes, under the seed given to `seed` if there was one."""
        seed = self._seeds[0]
        obs, infos = self.vector.reset(seed=seed)
        self.reset_infos = [{"level_seed": int(level)} for level in infos["level_seed"]]
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions [n]."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step; observations stay valid for good."""
        obs, rewards, terminated, truncated, infos = self.vector.step(self._actions)
        dones = terminated | truncated
        listed: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if "final_info" in infos:
            final = infos["final_info"]
            for index in np.flatnonzero(dones).tolist():
                listed[index] = self._final(final, index)
                listed[index]["terminal_observation"] = infos["final_obs"][index]
                listed[index]["TimeLimit.truncated"] = bool(truncated[index])
        return obs, rewards, dones, listed

    def _final(self, final: dict[str, Any], index: int) -> dict[str, Any]:
        """What is known of one episode that ended."""
        info = {name: final[name][index] for name in final if not name.startswith("_")}
        elapsed = round(time.time() - self._started, 6)
        ret, length = float(info.pop("ret")), int(info.pop("length"))
        return info | {"episode": {"r": ret, "l": length, "t": elapsed}}

    def close(self) -> None:
        """Close the vector environment."""
        self.vector.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed for the next reset: one sequence of levels for all environments."""
        self._seeds = [seed] * self.num_envs
        return self._seeds

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The vector environment's attribute, once for each index."""
        return [getattr(self.vector, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Raise InputError: what is set would change nothing that is played."""
        hint = "make another environment with envs.make_vec"
        raise InputError(f"{attr_name}={value!r}: cannot be set in an environment made; {hint}")

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Raise InputError but for empty ones."""
        if any(options if isinstance(options, list) else [options]):
            raise InputError.of("options", options, "empty", "there are none")
        super().set_options(options)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once for each index."""
        method = getattr(self.vector, method_name)
        return [method(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """True of Monitor alone: this class gives what one would write."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The current frames."""
        return list(self.vector.render() or [None] * self.num_envs)


def to_sb3(vector: ProcgenVectorEnv) -> ProcgenSB3VecEnv:
    """A stable-baselines3 VecEnv over a vector environment of `make_vec` (not reset yet).

    Args:
        vector: environments of one kind; the adapter takes them over.
    """
    return ProcgenSB3VecEnv(vector)
