"""Layouts of levels: whether two level seeds give the same level but for its looks."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs.settings import LevelSettings
from envs.simulator import shared_simulator
from envs.state import State


def layout_hash(state: State) -> int:
    """A 64-bit hash of a fresh level's grid (ground and coin) and the agent's start.

    Themes and backgrounds do not count, nor do things that are no part of the grid (crates, saws,
    enemies): levels of equal hash have the same ground, start and end.

    Args:
        state: of a game at the start of a level.
    """
    agent = np.asarray(state.agent_xy, np.float32).tobytes()
    content = b"".join((bytes(state.cells()), agent))
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def layout_hashes(
    seeds: Iterable[int], settings: LevelSettings | None = None, game: str = "coinrun"
) -> NDArray[np.uint64]:
    """`layout_hash` of each level as procgen makes it, 0.16 ms a level.

    A placement moves coin and start within a layout, by a rule of its own for each level seed; the
    layout of a level is that of the stock level, under every placement.

    Args:
        seeds: of `n` levels.
        settings: the levels' difficulty, parts and looks.
        game: one of `envs.games.GAMES`.

    Returns:
        `[n]`, in the order of the seeds.
    """
    level = shared_simulator(game, settings or LevelSettings()).level
    return np.fromiter((layout_hash(level(seed)) for seed in seeds), np.uint64)


@lru_cache(maxsize=4)
def layouts_of(levels: tuple[int, int], settings: LevelSettings, game: str) -> frozenset[int]:
    """The layout hashes of a half-open range of level seeds; remembered.

    Args:
        levels: first level seed, and the one after the last.
        settings: what the levels contain.
        game: its name.
    """
    return frozenset(layout_hashes(range(*levels), settings, game).tolist())
