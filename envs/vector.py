"""The vector environment: procgen stepped in place, states edited only where an episode begins.

    obs', reward, terminated, truncated, infos = step(action)        (SAME_STEP autoreset)

`obs'` is the first frame of the next episode where one ended; `infos["final_obs"]` then holds the
last frame of the old one. After a time limit (and `stop_at_end`) that is the true terminal frame;
procgen shows none after a death or a coin, so there the frame before the last step stands in.
"""

from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs import native
from envs.actions import N_ACTIONS
from envs.config import VecConfig
from envs.deaths import UNKNOWN
from envs.episodes import Episodes
from envs.frames import Frames
from envs.info_builder import Reporter
from envs.level_seeds import ALL_LEVELS
from envs.parse import parse_placement
from envs.placements import Placement, Spot
from envs.serialization import pack, unpack
from envs.simulator import NEVER, REMEMBERED_LEVELS, scratch
from envs.state import State
from envs.streams import Drawn, Sequential
from envs.tasks import Listed
from envs.tracking import FOLLOWERS, Follower
from rl_slt import InputError

Frame = NDArray[np.uint8]
_TRUE = 1  # as bytes of booleans have it
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
        self.single_action_space = gymnasium.spaces.Discrete(N_ACTIONS)
        self._game = config.game_object
        self._scratch = scratch(config.game, config.settings)
        self._native = native.acquire(
            self.num_envs, config.game, config.settings, config.step_threads
        )
        self._frames = Frames()
        # Nothing to do where an episode begins: procgen itself begins them, after our limit, too.
        self._lazy = config.stock and not config.track
        low, high = config.levels or ALL_LEVELS
        self._remember = high - low <= REMEMBERED_LEVELS or config.tasks is not None
        self._limit = config.time_limit or self._game.time_limit
        self._all = np.ones(self.num_envs, np.bool_)
        self._nowhere = np.zeros(self.num_envs, np.bool_)
        self._none = np.full(self.num_envs, None, object)
        self._blank = np.full(self.num_envs, "", object)
        self._no_rewards = bytes(self._native.rew.nbytes)
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
        levels = self.config.levels or ALL_LEVELS
        self._mixture_seed = seed
        self._episodes = Episodes(self.num_envs, self._limit)
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
            self._put(index, state)
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

    def _put(self, index: int, state: State) -> None:
        """Let one game go on from this state."""
        if self._lazy:
            state.timeout = self._limit
        self._native.set_state(index, state.data)

    def _attend(self, index: int, state: bytes | bytearray) -> None:
        """Limit and follower of an environment whose episode goes on from this state."""
        follow = True
        if isinstance(self._stream, Listed):
            self._episodes.limit(index, self._stream.limit(index))
            follow = self._stream.plays(index)
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
                if self._lazy:
                    state = State(self._native.peek_state(index))
                    self._install(index, self._scratch.advance(state))
                else:
                    self._begin(index)
            self._obs = self._frames.copy(self._native.obs)
        self._untouched = False
        return self.now()

    def now(self) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Observations and infos as they stand."""
        return self._obs, self._reporter.infos(self._all)

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step all environments with actions int [n] from 0 to 14."""
        actions = np.asarray(actions)
        told = actions.tolist()
        if actions.shape != (self.num_envs,) or min(told) < 0 or max(told) >= N_ACTIONS:
            raise InputError(f"actions must be {self.num_envs} integers from 0 to {N_ACTIONS - 1}")
        self._untouched = False
        if self._follower is not None:
            self._follower.act(actions)
        due = self._episodes.step()
        last = self._last(due, told) if due and self._lazy else {}
        self._native.step(actions)
        rewards, terminated = self._native.rew.copy(), self._native.first.copy()
        if rewards.tobytes() != self._no_rewards:
            self._episodes.ret += rewards
        for index, frame in last.items():
            terminated[index] = frame is None
        if self._follower is not None:
            self._follower.look(terminated)
        over, truncated, stopped = terminated, np.zeros(self.num_envs, np.bool_), self._nowhere
        if self.config.stop_at_end:
            stopped = self._episodes.end_reached & ~terminated
            over = terminated | stopped
        extra = None
        if due or _TRUE in over.tobytes():
            for index in due:
                truncated[index] = not over[index]
            extra = self._turn_over(told, rewards, terminated, over | truncated, stopped, last)
        self._obs = self._frames.copy(self._native.obs)
        infos = self._reporter.infos(self._all)
        if extra is not None:
            infos.update(extra)
        return self._obs, rewards, over, truncated, infos

    def _last(self, due: list[int], actions: list[int]) -> dict[int, Frame | None]:
        """The last frames of episodes that procgen cuts off by the step about to be taken.

        None where the agent dies or gets the coin by this very step.
        """
        states = ((index, State(self._native.peek_state(index))) for index in due)
        return {index: self._scratch.after(state, actions[index]) for index, state in states}

    def _turn_over(
        self,
        actions: list[int],
        rewards: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        ended: NDArray[np.bool_],
        stopped: NDArray[np.bool_],
        last: dict[int, Frame | None],
    ) -> dict[str, Any]:
        """Report the episodes that ended and begin new ones in their place.

        `last`: last frames of those that procgen itself has cut off.
        """
        final_obs, outcome, causes = self._none.copy(), self._blank.copy(), self._blank.copy()
        natural, paid = terminated.tolist(), rewards.tolist()
        which = [index for index, end in enumerate(ended.tolist()) if end]
        for index in which:
            if natural[index]:
                final_obs[index] = self._obs[index].copy()
            else:
                final_obs[index] = last[index] if last else self._native.obs[index].copy()
            if not natural[index]:
                outcome[index] = "end" if stopped[index] else "timeout"
            elif paid[index] > 0:
                outcome[index] = "coin"
            else:
                outcome[index], causes[index] = "death", self._cause(index, actions[index])
        final = self._reporter.final(ended, outcome, causes)
        for index in which:
            if self._lazy:
                self._episodes.begin(index)
                self._episodes.level_seed[index] = self._native.level_seed[index]
            else:
                self._begin(index, natural[index])
        return {
            "final_obs": final_obs,
            "_final_obs": ended,
            "final_info": final,
            "_final_info": ended,
        }

    def _cause(self, index: int, action: int) -> str:
        """What killed an agent by this action, as far as it is followed."""
        return UNKNOWN if self._follower is None else self._follower.cause(index, action)

    # ---- Saving, closing ----------------------------------------------------------------------

    def get_state(self) -> bytes:
        """The whole vector environment as bytes: games, generators, counters."""
        states = [self.game_state(index) for index in range(self.num_envs)]
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
        config = self.config.replace(num_envs=len(which))
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
            self._put(index, State(state))
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
        state = State(self._native.peek_state(index))
        state.timeout = NEVER
        return bytes(state.data)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frames [64, 64, 3], one for each environment."""
        return tuple(self._obs) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Hand the library's object back for the next environment of this kind."""
        native.release(self._native)
