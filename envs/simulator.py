"""A spare procgen game: produces fresh levels and draws states, away from any running episode."""

from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.games import Game, find_game
from envs.layout import Cell, Layout
from envs.level_states import FreshLevels
from envs.native import Native
from envs.placements import End, Placement, Spot
from envs.settings import LevelSettings
from envs.state import UNSEEN, State, agent_xy, generator_text, level_generators

NEVER = 2**31 - 1  # steps: no timeout of procgen's own, which shows no terminal frame
REMEMBERED_ENDS = 4096
REMEMBERED_SPOTS = 4096
REMEMBERED_LEVELS = 1024  # of about 27 KB


class Scratch:
    """One spare game of a kind; everything it does is determined by the states it is given."""

    def __init__(self, game: Game, settings: LevelSettings) -> None:
        self.game, self._settings = game, settings
        self._native = Native(1, game.name, settings)
        self._base = self._make_base()
        self._fresh = FreshLevels(Native(1, game.name, settings), self._base)
        self._ends: OrderedDict[int, Cell] = OrderedDict()
        self._levels: OrderedDict[int, bytes] = OrderedDict()
        self._spots: OrderedDict[tuple[int, Placement], tuple[Spot, Cell]] = OrderedDict()

    def _make_base(self) -> State:
        state = State(self._native.get_state(0))
        state.timeout = NEVER
        return self.advance(state).with_trivial_generators()

    def advance(self, state: State) -> State:
        """The fresh state that a forced reset leads to: the next level of its own generator."""
        seen, state.visibility = state.visibility, UNSEEN  # half of the cost would be drawing
        self._native.set_state(0, state.data)
        self._native.step(-1)
        after = State(self._native.peek_state(0))
        state.visibility = after.visibility = seen
        return after

    def after(self, state: State, action: int) -> NDArray[np.uint8] | None:
        """The frame [64, 64, 3] after one more step; None where the episode ends by itself."""
        state.timeout = NEVER
        self._native.set_state(0, state.without_generators())
        self._native.step(action)
        return None if self._native.first[0] else self._native.obs[0].copy()

    def __contains__(self, seed: int) -> bool:
        """Whether the fresh state of a level is remembered."""
        return seed in self._levels

    def level(self, seed: int, remember: bool = False) -> State:
        """The fresh state of one level, with trivial generators; remembered if so asked."""
        if seed in self._levels:
            return State(self._levels[seed])
        state = self._fresh.make(seed)
        if remember:
            _keep(self._levels, seed, bytes(state.data), REMEMBERED_LEVELS)
        return state

    def seeded(self, seed: int, num: int, levels: tuple[int, int]) -> list[State]:
        """First states of `num` environments, as procgen made with `rand_seed=seed` has them."""
        states = []
        for generator in level_generators(seed, num):
            state = self._base.with_level_generator(generator_text(generator))
            state.level_range = levels
            states.append(self.advance(state))
        return states

    def layout(self, seed: int) -> Layout:
        """The layout of one level."""
        return self.game.layout(self.level(seed))

    def spot(
        self, seed: int, placement: Placement, state: State | None = None
    ) -> tuple[Spot, Cell]:
        """Where coin and agent go in a level, and its end; remembered for those asked for last.

        `state`: the level's fresh state, where it is at hand.
        """
        key = (seed, placement)
        if key not in self._spots:
            layout = _layout_of(self, seed) if state is None else self.game.layout(state)
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

    def end(self, seed: int) -> Cell:
        """The end cell of one level, remembered for the levels asked for last."""
        if seed not in self._ends:
            _keep(self._ends, seed, self.layout(seed).end, REMEMBERED_ENDS)
        return self._ends[seed]

    def play(
        self, state: bytes | bytearray, actions: list[int]
    ) -> tuple[float, int, tuple[float, float] | None]:
        """Return, steps and the agent's last position when these actions are taken.

        The position is None when the episode ended on the way.
        """
        self._native.set_state(0, state)
        for steps, action in enumerate(actions, 1):
            self._native.step(action)
            if self._native.first[0]:
                return float(self._native.rew[0]), steps, None
        return 0.0, len(actions), agent_xy(self._native.peek_state(0))

    def render(self, state: bytes | bytearray) -> NDArray[np.uint8]:
        """The observation [64, 64, 3] of a state."""
        self._native.set_state(0, state)
        return self._native.obs[0].copy()


@lru_cache(maxsize=REMEMBERED_LEVELS)
def _layout_of(spare: Scratch, seed: int) -> Layout:
    return spare.layout(seed)


def _keep(memory: OrderedDict[Any, Any], key: Any, value: Any, size: int) -> None:
    """Remember a value, forgetting the oldest when there are too many."""
    memory[key] = value
    if len(memory) > size:
        memory.popitem(last=False)


@lru_cache(maxsize=16)
def scratch(game: str, settings: LevelSettings) -> Scratch:
    """The spare game of this kind, shared by all who ask."""
    return Scratch(find_game(game), settings)
