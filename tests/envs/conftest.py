"""Raw procgen and small drivers, as fixtures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.native import _import_procgen

KEPT: list[Any] = []  # see `envs.native`: destroying one while another is made hangs


def make_raw(num: int, seed: int, levels: tuple[int, int] | None = None, **options: Any) -> Any:
    """Plain `procgen.ProcgenGym3Env`, as anyone else would make it."""
    low, high = levels or (0, 0)
    env = _import_procgen().ProcgenGym3Env(
        num=num,
        env_name=options.pop("game", "coinrun"),
        rand_seed=seed,
        num_threads=0,
        start_level=low,
        num_levels=high - low,
        distribution_mode=options.pop("mode", "easy"),
        **options,
    )
    KEPT.append(env)
    return env


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
