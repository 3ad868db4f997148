"""Actions taken again from the start of levels: unseen, and many games at a time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs import native
from envs.actions import NOOP
from envs.placements import Placement
from envs.settings import LevelSettings
from envs.simulator import Simulator, shared_simulator

WIDTH = 16  # games; stepping one alone costs twice as much


@dataclass(frozen=True)
class Replay:
    """A level with coin and start, and the actions to take in it, at least one.

    Attributes:
        level: its seed.
        placement: of coin and start.
        actions: numbers of procgen's actions, one a step.
    """

    level: int
    placement: Placement
    actions: Sequence[int]


def replay(
    game: str, settings: LevelSettings, replays: Sequence[Replay]
) -> list[tuple[float, int]]:
    """Return and steps of each: until its episode ended, or all its actions were taken.

    Args:
        game: its name.
        settings: what the levels contain.
        replays: any number; they are played several at a time.
    """
    simulator, games = shared_simulator(game, settings), native.acquire(WIDTH, game, settings)
    left = deque(sorted(range(len(replays)), key=lambda i: -len(replays[i].actions)))
    playing: dict[int, int] = {}  # which replay, by game
    steps = np.zeros(WIDTH, np.int64)
    actions = np.full(WIDTH, NOOP)
    found: dict[int, tuple[float, int]] = {}
    while len(found) < len(replays):
        for slot in range(WIDTH):
            if slot not in playing and left:
                playing[slot], steps[slot] = left.popleft(), 0
                games.set_state(slot, _start(simulator, replays[playing[slot]]))
        for slot, number in playing.items():
            actions[slot] = replays[number].actions[steps[slot]]
        games.step(actions)
        steps += 1
        for slot, number in [*playing.items()]:
            if games.first[slot] or steps[slot] == len(replays[number].actions):
                found[number] = float(games.rew[slot]), int(steps[slot])
                del playing[slot]
                actions[slot] = NOOP
    native.release(games)
    return [found[number] for number in range(len(replays))]


def _start(simulator: Simulator, replay: Replay) -> bytearray:
    """The first state, not drawn."""
    spot, _ = simulator.spot(replay.level, replay.placement)
    fresh = simulator.level(replay.level, remember=True)
    state = simulator.placed(fresh, replay.placement, spot)
    state.hide()
    return state.without_generators()
