"""A procgen game apart from running episodes: makes fresh levels, tries actions, draws states."""

import struct
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from envs.game import Cell, Layout, ProcgenGame
from envs.games import find_procgen
from envs.native import LOCK, Native
from envs.placements import End, Placement, Spot
from envs.settings import LevelSettings
from envs.state import TRIVIAL, UNSEEN, Motion, State, agent_motion

NEVER = 2**31 - 1  # steps: no timeout of procgen's own, which shows no terminal frame
REMEMBERED_SPOTS = 4096
REMEMBERED_LEVELS = 1024  # of about 27 KB


Method = TypeVar("Method", bound=Callable[..., Any])


def _one_at_a_time(method: Method) -> Method:
    @wraps(method)
    def call(*args: Any, **keywords: Any) -> Any:
        with LOCK:
            return method(*args, **keywords)

    return call  # type: ignore[return-value]


class Simulator:
    """A sandbox for one kind of game; what it does is determined by the states it is given.

    Environments of all threads share it: each of its calls is one under `envs.native.LOCK`.
    """

    def __init__(self, game: ProcgenGame, settings: LevelSettings) -> None:
        self.game, self._settings = game, settings
        self._native = Native(1, game.name, settings)
        self._levels: OrderedDict[int, bytes] = OrderedDict()
        self._spots: OrderedDict[tuple[int, Placement], tuple[Spot, Cell]] = OrderedDict()
        self._layouts: OrderedDict[int, Layout] = OrderedDict()
        # A second game does nothing but make levels, from this template.
        self._maker = Native(1, game.name, settings)
        base = State(self._native.get_state(0)).with_trivial_generators()
        base.set_step_field("timeout", NEVER)
        self._visibility, base.visibility = base.visibility, UNSEEN  # drawing is half of the cost
        self._maker.set_state(0, base.data)
        self._range_at, self._generator_at = base.level_range_at, base.level_generator_at
        self._template = base.without_generators()

    def __contains__(self, seed: int) -> bool:
        """Whether the fresh state of a level is remembered."""
        return seed in self._levels

    @_one_at_a_time
    def level(self, seed: int, remember: bool = False) -> State:
        """The fresh state of one level, with trivial generators; remembered if so asked."""
        if seed in self._levels:
            return State(self._levels[seed])
        struct.pack_into("<2i", self._template, self._range_at, seed, seed + 1)
        self._maker.set_state(0, self._template)
        self._maker.step(-1)
        view, at = self._maker.peek_state(0), self._generator_at
        length = int.from_bytes(view[at : at + 4], "little")
        state = State(b"".join((view[:at], TRIVIAL, view[at + 4 + length :])))
        state.visibility = self._visibility
        state.forget_draw()
        if remember:
            _keep(self._levels, seed, bytes(state.data), REMEMBERED_LEVELS)
        return state

    def layout(self, seed: int) -> Layout:
        """The layout of one level."""
        return self.game.layout(self.level(seed))

    def _layout(self, seed: int) -> Layout:
        """The layout of one level, remembered for those asked for last."""
        if seed not in self._layouts:
            _keep(self._layouts, seed, self.layout(seed), REMEMBERED_LEVELS)
        return self._layouts[seed]

    @_one_at_a_time
    def spot(
        self, seed: int, placement: Placement, state: State | None = None
    ) -> tuple[Spot, Cell]:
        """Where coin and agent go in a level, and its end; remembered for those asked for last.

        Args:
            seed: of the level.
            placement: of coin and agent, no mixture.
            state: the level's fresh state, where it is at hand.
        """
        key = (seed, placement)
        if key not in self._spots:
            layout = self._layout(seed) if state is None else self.game.layout(state)
            _keep(self._spots, key, (placement.place(layout), layout.end), REMEMBERED_SPOTS)
        return self._spots[key]

    def placed(self, state: State, placement: Placement, spot: Spot) -> State:
        """A fresh state with coin and agent put where the placement wants them."""
        if not self._settings.monsters and self.game.enemy is not None:
            state = state.with_entities(state.entities[state.kinds != self.game.enemy])
        if not (isinstance(placement, End) and self.game.stock_is_end):
            self.game.write_coins(state, spot.coins)
        if spot.agent is not None:
            self.game.write_agent(state, spot.agent)
        return state

    @_one_at_a_time
    def rollout(
        self, state: bytes | bytearray, actions: list[int]
    ) -> tuple[float, int, Motion | None]:
        """Return, steps and the agent's last motion when these actions are taken.

        The motion is None when the episode ended on the way.
        """
        self._native.set_state(0, state)
        for steps, action in enumerate(actions, 1):
            self._native.step(action)
            if self._native.first[0]:
                return float(self._native.rew[0]), steps, None
        return 0.0, len(actions), agent_motion(self._native.peek_state(0))

    @_one_at_a_time
    def advance(self, state: bytes | bytearray, actions: list[int]) -> bytes:
        """The state after these actions, in which the episode does not end."""
        self._native.set_state(0, state)
        for action in actions:
            self._native.step(action)
        return self._native.get_state(0)

    @_one_at_a_time
    def render(self, state: bytes | bytearray) -> NDArray[np.uint8]:
        """The observation [64, 64, 3] of a state."""
        self._native.set_state(0, state)
        return self._native.obs[0].copy()


def _keep(memory: OrderedDict[Any, Any], key: Any, value: Any, size: int) -> None:
    """Remember a value, forgetting the oldest when there are too many."""
    memory[key] = value
    if len(memory) > size:
        memory.popitem(last=False)


@_one_at_a_time
@lru_cache(maxsize=16)
def shared_simulator(game: str, settings: LevelSettings) -> Simulator:
    """The simulator of this kind of game, shared by all who ask.

    Args:
        game: its name.
        settings: what its levels contain.
    """
    return Simulator(find_procgen(game), settings)
