"""The vector environment: procgen stepped in place, states edited only where an episode begins.

    obs', reward, terminated, truncated, infos = step(action)        (SAME_STEP autoreset)

`obs'` is the first frame of the next episode where one ended; `infos["final_obs"]` then holds the
last frame of the old one. After a time limit (and `stop_at_end`) that is the true terminal frame;
procgen shows none after a death or a coin, so there the frame before the last step stands in.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs import native
from envs.config import VecConfig
from envs.deaths import UNKNOWN
from envs.episodes import Episodes
from envs.errors import InputError
from envs.following import FOLLOWERS, Follower
from envs.frames import Frames
from envs.parse import SEEDS, parse_placement
from envs.placements import Placement, Spot
from envs.reports import Reporter
from envs.saving import pack, unpack
from envs.scratch import REMEMBERED_LEVELS, scratch
from envs.state import State
from envs.streams import Drawn, Sequential
from envs.tasks import Listed

ACTIONS = 15
_MIXTURE = 7  # keeps the generator of mixtures apart from others with the same seed


class ProcgenVectorEnv(VectorEnv[NDArray[np.uint8], NDArray[np.int64], NDArray[Any]]):
    """`config.num_envs` games with controlled coin and start; made by `envs.make_vec`.

    Observations uint8 [n, 64, 64, 3] (valid for as long as they are held), rewards float32 [n].
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, config: VecConfig, render_mode: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.num_envs = config.num_envs
        self.render_mode = render_mode
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.single_action_space = gymnasium.spaces.Discrete(ACTIONS)
        self._game = config.game_object
        self._scratch = scratch(config.game, config.settings)
        self._native = native.acquire(
            self.num_envs, config.game, config.settings, config.step_threads
        )
        self._frames = Frames()
        self._lazy = config.stock and not config.track  # nothing to do where an episode begins
        size = config.levels[1] - config.levels[0] if config.levels else SEEDS
        self._remember = size <= REMEMBERED_LEVELS or config.tasks is not None
        limit = config.time_limit or self._game.time_limit
        self._limits = np.full(self.num_envs, limit, np.int64)
        self._all = np.ones(self.num_envs, np.bool_)
        self._nowhere = np.zeros(self.num_envs, np.bool_)
        self._stream: Drawn | Sequential | Listed
        self._seed_all(config.seed)

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """Of all environments; made when asked for, since its bounds are as large as the frames."""
        return batch_space(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """Of all environments."""
        return batch_space(self.single_action_space, self.num_envs)

    # ---- Beginning episodes -------------------------------------------------------------------

    def _seed_all(self, seed: int) -> None:
        """Bring every environment to its first episode under this seed."""
        levels = self.config.levels or (0, SEEDS)
        self._mixture_seed = seed
        self._episodes = Episodes(self.num_envs)
        end_of = self._scratch.end if self._lazy else None
        self._reporter = Reporter(self._episodes, bool(self.config.track), end_of)
        self._follower: Follower | None = None
        if self.config.track:
            kind = FOLLOWERS[self.config.track]
            self._follower = kind(self.config, self._native, self._scratch, self._episodes)
        if self._lazy:
            for index, state in enumerate(self._scratch.seeded(seed, self.num_envs, levels)):
                self._install(index, state)
        else:
            self._stream = self._new_stream(seed, levels)
            self._trivial = False
            for index in range(self.num_envs):
                self._begin(index)
            self._trivial = True  # the generators of level seeds and assets, from now on
        self._obs = self._frames.copy(self._native.obs)
        self._untouched = True

    def _new_stream(self, seed: int, levels: tuple[int, int]) -> Drawn | Sequential | Listed:
        if self.config.tasks is not None:
            return Listed(self.config.tasks, self.num_envs)
        drawn = self.config.order == "drawn"
        return Drawn(seed, self.num_envs, levels) if drawn else Sequential(levels)

    def _begin(self, index: int, natural: bool = False) -> None:
        """Start the next episode of one environment.

        `natural`: procgen has reset the game itself, so its state may be the one to edit.
        """
        seed = self._stream.take(index)
        own = natural and seed not in self._scratch and isinstance(self._stream, Drawn)
        if own:
            state = State(self._native.peek_state(index))
            if state.step_field("level_seed") != seed:
                raise RuntimeError("procgen drew another level than was foreseen")
        else:
            state = self._scratch.level(seed, self._remember)
        self._install(index, state)

    def _install(self, index: int, state: State) -> None:
        """Place coin and agent in a fresh state and let the environment go on from there."""
        episodes = self._episodes
        episodes.begin(index)
        seed = episodes.level_seed[index] = state.step_field("level_seed")
        if self._lazy:
            self._native.set_state(index, state.data)
            return
        placement = self._placement(index)
        given = None if isinstance(self._stream, Listed) else state  # lists share their layouts
        spot, end = self._scratch.spot(int(seed), placement, given)
        state = self._edited(index, state, placement, spot)
        episodes.place(index, spot.coins, end, state.agent_xy)
        # At first everything is told; later generators stay as they are: a level made uses none.
        told = state.without_generators() if self._trivial else state.data
        self._native.set_state(index, told)
        self._attend(index, state.data)

    def _attend(self, index: int, state: bytes | bytearray) -> None:
        """Limit and follower of an environment whose episode goes on from this state."""
        follow = True
        if isinstance(self._stream, Listed):
            self._limits[index], follow = self._stream.limit(index), self._stream.plays(index)
        if self._follower is not None:
            self._follower.begin(index, state, follow)

    def _placement(self, index: int) -> Placement:
        """The placement of an environment's episode: its task's, or the one drawn of a mixture."""
        if isinstance(self._stream, Listed):
            return parse_placement(self._stream.now(index).placement)
        placement = self.config.placement
        if placement.is_mixture:
            key = [self._mixture_seed, _MIXTURE, index, int(self._episodes.number[index])]
            placement = placement.choose(np.random.default_rng(key))
        return placement

    def _edited(self, index: int, state: State, placement: Placement, spot: Spot) -> State:
        """The fresh state with coin and start placed and the level that follows foretold."""
        state = self._scratch.placed(state, placement, spot)
        if isinstance(self._stream, Listed) and not self._stream.plays(index):
            state.hide()
        if isinstance(self._stream, Drawn):
            following = self._stream.upcoming[index]
            state.level_range = (following, following + 1)
        return state

    # ---- Stepping -----------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a new episode everywhere; with a seed, from the start of that seed's sequence."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed_all(seed)
        elif not self._untouched:
            for index in range(self.num_envs):
                self._cut(index)
            self._obs = self._frames.copy(self._native.obs)
        self._untouched = False
        return self.now()

    def now(self) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Observations and infos as they stand."""
        return self._obs, self._reporter.infos(self._all)

    def _cut(self, index: int) -> None:
        """Start the next episode of one environment that procgen has not reset."""
        if self._lazy:
            self._install(index, self._scratch.advance(State(self._native.peek_state(index))))
        else:
            self._begin(index)

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step all environments with actions int [n] from 0 to 14."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= ACTIONS:
            raise InputError(f"actions must be {self.num_envs} integers from 0 to {ACTIONS - 1}")
        self._untouched = False
        if self._follower is not None:
            self._follower.act(actions)
        self._native.step(actions)
        rewards, terminated = self._native.rew.copy(), self._native.first.copy()
        episodes = self._episodes
        episodes.length += 1
        episodes.ret += rewards
        if self._follower is not None:
            self._follower.look(terminated)
        # Of booleans, `a > b` is `a and not b` in one pass; every pass is felt at this speed.
        truncated = (episodes.length >= self._limits) > terminated
        stopped, over = self._nowhere, terminated
        if self.config.stop_at_end:
            stopped = episodes.end_reached > terminated
            truncated, over = truncated > stopped, terminated | stopped
        ended = over | truncated
        extra = self._turn_over(actions, rewards, terminated, ended, stopped) if ended.any() else {}
        self._obs = self._frames.copy(self._native.obs)
        infos = self._reporter.infos(self._all)
        if extra:
            infos.update(extra)
        return self._obs, rewards, over, truncated, infos

    def _turn_over(
        self,
        actions: NDArray[Any],
        rewards: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        ended: NDArray[np.bool_],
        stopped: NDArray[np.bool_],
    ) -> dict[str, Any]:
        """Report the episodes that ended and begin new ones in their place."""
        final_obs, causes = np.empty(self.num_envs, object), np.full(self.num_envs, "", object)
        coin = terminated & (rewards > 0)
        which = np.flatnonzero(ended).tolist()
        for index in which:
            cut = not terminated[index]
            final_obs[index] = (self._native.obs if cut else self._obs)[index].copy()
            if not cut and not coin[index]:
                causes[index] = self._cause(index, actions)
        final = self._reporter.final(ended, coin, stopped, causes)
        for index in which:
            if not terminated[index]:
                self._cut(index)
            elif self._lazy:
                self._episodes.begin(index)
                self._episodes.level_seed[index] = self._native.level_seed[index]
            else:
                self._begin(index, natural=True)
        return {
            "final_obs": final_obs,
            "_final_obs": ended,
            "final_info": final,
            "_final_info": ended,
        }

    def _cause(self, index: int, actions: NDArray[Any]) -> str:
        """What killed an agent, as far as it is followed."""
        if self._follower is None:
            return UNKNOWN
        return self._follower.cause(index, int(actions[index]))

    # ---- Saving, closing ----------------------------------------------------------------------

    def get_state(self) -> bytes:
        """The whole vector environment as bytes: games, generators, counters."""
        states = [self._native.get_state(index) for index in range(self.num_envs)]
        stream = {} if self._lazy else self._stream.save()
        own = {"mixture_seed": self._mixture_seed}
        return pack(self.config, states, own, self._episodes.save() | stream)

    def narrowed(self, which: NDArray[np.int64]) -> "ProcgenVectorEnv":
        """One of only these environments, all going on; this one is closed.

        Raises:
            InputError: where the environment was not made with tasks.
        """
        if self.config.tasks is None:
            raise InputError("only an environment that was made with tasks can be narrowed")
        assert isinstance(self._stream, Listed)
        config = replace(self.config, num_envs=len(which))
        states = [self._native.get_state(index) for index in which.tolist()]
        rows = {name: value[which] for name, value in self._episodes.save().items()}
        other = ProcgenVectorEnv(config, self.render_mode)
        other._restore(states, self._mixture_seed, rows | self._stream.save(which))
        self.close()
        return other

    def set_state(self, blob: bytes) -> None:
        """Go on from the bytes of `get_state` of an environment with the same configuration."""
        states, own, arrays = unpack(self.config, blob)
        self._restore(states, own["mixture_seed"], arrays)

    def _restore(self, states: list[bytes], mixture_seed: int, arrays: dict[str, Any]) -> None:
        for index, state in enumerate(states):
            self._native.set_state(index, state)
        self._mixture_seed = mixture_seed
        self._episodes.load(arrays)
        if not self._lazy:
            self._stream.load(arrays)
            for index, state in enumerate(states):
                self._attend(index, state)
        self._obs = self._frames.copy(self._native.obs)
        self._untouched = False

    @property
    def task(self) -> NDArray[np.int64]:
        """Which of the tasks each environment plays [n]; -1 where none is left."""
        tasks = self._stream.task if not self._lazy and isinstance(self._stream, Listed) else None
        return np.full(self.num_envs, -1, np.int64) if tasks is None else tasks.copy()

    def episode_numbers(self) -> NDArray[np.int64]:
        """How many episodes each environment has begun [n]."""
        return self._episodes.number.copy()

    def game_state(self, index: int) -> bytes:
        """Procgen's state of one environment, for `envs.edit` and for policies that cheat."""
        return self._native.get_state(index)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frames [64, 64, 3], one for each environment."""
        return tuple(self._obs) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Hand the library's object back for the next environment of this kind."""
        native.release(self._native)
