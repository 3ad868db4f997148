"""Raw procgen and small drivers, as fixtures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.library import make_games

KEPT: list[Any] = []  # see `envs.native`: destroying one while another is made hangs


class Gym3:
    """procgen-gym's object with the methods of procgen-mirror's."""

    def __init__(self, env: Any) -> None:
        self._inner, self.get_state, self.set_state = env._clib, env.get_state, env.set_state

    def act(self, actions: NDArray[Any]) -> None:
        self._inner.act(actions)

    def observe(self) -> tuple[NDArray[np.float32], dict[str, Any], NDArray[np.bool_]]:
        first, frames, rewards, _ = self._inner.observe()
        return rewards, frames, first.astype(bool)

    def get_info(self) -> list[dict[str, Any]]:
        infos = self._inner.observe()[3]
        return [{name: infos[name][i] for name in infos} for i in range(self._inner.num)]


def make_raw(num: int, seed: int, levels: tuple[int, int] | None = None, **options: Any) -> Any:
    """Plain procgen, as anyone else would make it: `procgen.ProcgenGym3Env` or what is like it."""
    low, high = levels or (0, 0)
    games = make_games(
        num,
        options.pop("game", "coinrun"),
        rand_seed=seed,
        num_threads=0,
        start_level=low,
        num_levels=high - low,
        distribution_mode=options.pop("mode", "easy"),
        **options,
    )
    KEPT.append(games)
    return games.owner if hasattr(games.owner, "act") else Gym3(games.owner)


def draw_actions(num: int, steps: int, seed: int = 0) -> NDArray[np.int64]:
    """Actions [steps, num] that get somewhere: mostly right and jump, some random."""
    rng = np.random.default_rng(seed)
    random = rng.integers(0, 15, (steps, num))
    return np.where(rng.random((steps, num)) < 0.3, random, 8)


@pytest.fixture
def raw() -> Callable[..., Any]:
    return make_raw


@pytest.fixture
def actions_for() -> Callable[..., NDArray[np.int64]]:
    return draw_actions
