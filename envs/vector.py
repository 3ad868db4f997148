"""The vector environment: procgen stepped in place, states edited only where an episode begins.

    obs', reward, terminated, truncated, infos = step(action)        (SAME_STEP autoreset)

`obs'` is the first frame of the next episode where one ended; `infos["final_obs"]` then holds the
last frame of the old one. After a time limit (and `stop_at_end`) that is the true terminal frame;
procgen shows none after a death or a coin, so there the frame before the last step stands in.

What is called after `close` raises `gymnasium.error.ClosedEnvironmentError`. Copies and pickles go
through `get_state`: they play on from where the environment stands, with games of their own.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs import native
from envs.actions import N_ACTIONS
from envs.episodes import Episodes
from envs.level_seeds import ALL_LEVELS, Seed, check_seed
from envs.placements import Mix, Placement
from envs.serialization import pack, unpack
from envs.settings import VecConfig
from envs.simulator import REMEMBERED_LEVELS, shared_simulator
from envs.state import State, agent_motion
from envs.tasks import Branch, LevelQueue, ListedLevels, SampledLevels, TaskQueue
from envs.tracking import TRACKERS, UNKNOWN, Tracker
from rl_slt import InputError

_TRUE = 1  # as bytes of booleans have it
_MIXTURE = 7  # keeps the generator of mixtures apart from others with the same seed
_MASK = "reset_mask"  # Gymnasium's name
_CLOSED = {"_native", "_obs"}  # what a closed environment has no more
# What a copy makes itself or takes from the saved state.
_REMADE = _CLOSED | {"_simulator", "_episodes", "_tracker", "_tasks", "_queue", "_mixture_keys"}
FPS = 15  # procgen's
RENDER_MODES = ("rgb_array", None)
Mask = NDArray[np.bool_]


class ProcgenVectorEnv(VectorEnv[NDArray[np.uint8], NDArray[np.int64], NDArray[Any]]):
    """`config.num_envs` games with controlled coin and start; made by `envs.make_vec`.

    Observations uint8 [n, 64, 64, 3] (valid for as long as they are held), rewards float32 [n].

    Args:
        config: number of games, levels, placement and all else (`envs.settings.VecConfig`).
        render_mode: `rgb_array` for pictures of `render`, or None.
    """

    metadata = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["rgb_array"], "render_fps": FPS,
    }  # fmt: skip

    def __init__(self, config: VecConfig, render_mode: str | None = None) -> None:
        if render_mode not in RENDER_MODES:
            hint = "gymnasium.wrappers.vector.HumanRendering shows the pictures in a window"
            raise InputError.of("render_mode", render_mode, "rgb_array or None", hint)
        super().__init__()
        self.config, self.num_envs, self.render_mode = config, config.num_envs, render_mode
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.single_action_space = gymnasium.spaces.Discrete(N_ACTIONS)
        self._simulator = shared_simulator(config.game, config.settings)
        self._native = native.acquire(
            self.num_envs, config.game, config.settings, config.step_threads
        )
        low, high = config.levels or ALL_LEVELS
        self._remember = high - low <= REMEMBERED_LEVELS or config.tasks is not None
        self._nowhere = np.zeros(self.num_envs, np.bool_)
        self._no_rewards = bytes(self._native.rew.nbytes)
        self._begin_all(config.seed)

    @cached_property
    def observation_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """Of all environments; made when asked for, since its bounds are as large as the frames."""
        return batch_space(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """Of all environments."""
        return batch_space(self.single_action_space, self.num_envs)

    # ---- Beginning episodes -------------------------------------------------------------------

    def _begin_all(self, seed: Seed) -> None:
        """Bring every environment to its first episode under this seed, or under one for each."""
        config, levels = self.config, self.config.levels or ALL_LEVELS
        limit = config.time_limit or config.game_object.time_limit
        rows = range(self.num_envs)
        self._mixture_keys = (
            [(seed, i) for i in rows] if isinstance(seed, int) else [(s, 0) for s in seed]
        )
        self._episodes = Episodes(self.num_envs, limit, bool(config.track))
        self._tracker: Tracker | None = None
        if config.track:
            tracker = TRACKERS[config.track]
            self._tracker = tracker(self._native, self._simulator, self._episodes)
        self._tasks = TaskQueue(config.tasks, self.num_envs) if config.tasks else None
        self._queue: LevelQueue
        if self._tasks is not None:
            self._queue = self._tasks
        elif config.order == "drawn":
            self._queue = SampledLevels(seed, self.num_envs, levels)
        else:
            self._queue = ListedLevels(levels)
        # The first states bring trivial generators, which the games then keep: a level made uses
        # none, and procgen is given the next level's seed.
        self._generators_set = False
        for index in range(self.num_envs):
            self._begin(index)
        self._generators_set = True
        self._obs = self._native.obs.copy()
        self._untouched = True

    def _begin(self, index: int, natural: bool = False) -> None:
        """Begin the next episode of one environment, with coin and agent placed.

        Args:
            index: of the environment.
            natural: procgen has reset the game itself, so its state may be the one to edit.
        """
        queue = self._queue
        seed, later = queue.take(index), queue.following(index)
        if natural and later is not None and seed not in self._simulator:
            state = State(self._native.peek_state(index))
            if state.step_field("level_seed") != seed:
                raise RuntimeError("procgen made another level than the one given to it")
        else:
            state = self._simulator.level(seed, self._remember)
        placement = self._placement(index)
        # Remembered levels share their layouts between placements.
        spot, end = self._simulator.spot(seed, placement, None if self._remember else state)
        steps, branch = 0, self._tasks and self._tasks.branch(index)
        if branch:
            state, steps = State(branch.state), branch.steps
            self.config.game_object.write_coins(state, spot.coins)
        else:
            state = self._simulator.placed(state, placement, spot)
        if self._tasks is not None and not self._tasks.draws(index):
            state.hide()
        if later is not None:
            state.level_range = later, later + 1
        self._episodes.begin(index, seed, spot.coins, end, state.agent_xy, steps)
        given = state.without_generators() if self._generators_set else state.data
        self._native.set_state(index, given)
        self._follow(index, state.data)

    def _follow(self, index: int, state: bytes | bytearray) -> None:
        """Limit and tracker of an environment whose episode goes on from this state."""
        track = True
        if self._tasks is not None:
            self._episodes.limit(index, self._tasks.limit(index))
            track = self._tasks.plays(index)
        if self._tracker is not None:
            self._tracker.begin(index, state, track)

    def _placement(self, index: int) -> Placement:
        """The placement of an environment's episode: its task's, or the one drawn of a mixture."""
        if self._tasks is not None:
            return self._tasks.placement(index)
        placement = self.config.placement
        if isinstance(placement, Mix):
            episode = int(self._episodes.number[index]) + 1
            seed, row = self._mixture_keys[index]
            key = [seed, _MIXTURE, row, episode]
            placement = placement.choose(np.random.default_rng(key))
        return placement

    # ---- Stepping -----------------------------------------------------------------------------

    def reset(
        self, *, seed: Seed | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a new episode everywhere; with a seed, from the start of that seed's sequence.

        Args:
            seed: from 0 to 2147483647: environment i plays sequence i of it, as procgen deals them.
                A list `[n]`: environment i plays as an environment alone does with seed i.
            options: `{"reset_mask": bool [n]}` begins episodes in these environments alone; the
                others stay as they are, and the infos' masks leave them out. No other is known.

        Raises:
            InputError: another seed or option, or a mask together with a seed.
            ClosedEnvironmentError: after `close`.
        """
        mask = self._reset_mask(seed, options)
        if seed is not None:
            seed = check_seed(seed, self.num_envs)
            super().reset(seed=seed if isinstance(seed, int) else seed[0])
            self._native  # noqa: B018  (closed?)
            self._begin_all(seed)
        elif not self._untouched:
            for index in np.flatnonzero(mask).tolist():
                self._begin(index)
            self._obs = self._native.obs.copy()
        self._untouched = False
        return self._obs, self._episodes.infos(mask)

    def _reset_mask(self, seed: Seed | None, options: dict[str, Any] | None) -> Mask:
        """Where `reset` is to begin episodes, bool [n]."""
        everywhere = np.ones(self.num_envs, np.bool_)
        if not options:
            return everywhere
        if set(options) != {_MASK}:
            raise InputError.of("options", sorted(options), f"{_MASK} alone, or none")
        mask = np.asarray(options[_MASK])
        if mask.dtype != np.bool_ or mask.shape != everywhere.shape or not mask.any():
            allowed = f"{self.num_envs} booleans, one of them true"
            raise InputError.of(_MASK, mask.tolist(), allowed)
        if seed is not None:
            raise InputError.of("seed", seed, f"None with {_MASK}", "it begins all sequences again")
        return mask.copy()

    def now(self) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Observations and infos as they stand."""
        return self._obs, self._episodes.infos()

    def step(
        self, actions: Any
    ) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step all environments with actions int [n] from 0 to 14."""
        actions = np.asarray(actions)
        listed, integers = actions.tolist(), actions.dtype.kind in "iu"
        if (
            actions.shape != (self.num_envs,) or not integers
            or min(listed) < 0 or max(listed) >= N_ACTIONS
        ):  # fmt: skip
            allowed = f"{self.num_envs} integers from 0 to {N_ACTIONS - 1}"
            raise InputError.of("actions", listed, allowed)
        self._untouched = False
        if self._tracker is not None:
            self._tracker.act(actions)
        due = self._episodes.step()
        self._native.step(actions)
        rewards, terminated = self._native.rew.copy(), self._native.first.copy()
        if rewards.tobytes() != self._no_rewards:
            self._episodes.ret += rewards
        if self._tracker is not None:
            self._tracker.update(terminated)
        over, truncated, stopped = terminated, np.zeros(self.num_envs, np.bool_), self._nowhere
        if self.config.stop_at_end:
            stopped = self._episodes.end_reached & ~terminated
            over = terminated | stopped
        ends = {}
        if due or _TRUE in over.tobytes():
            for index in due:
                truncated[index] = not over[index]
            ends = self._end(listed, rewards, terminated, over | truncated, stopped)
        self._obs = self._native.obs.copy()
        return self._obs, rewards, over, truncated, self._episodes.infos() | ends

    def _end(
        self,
        actions: list[int],
        rewards: NDArray[np.float32],
        terminated: Mask,
        ended: Mask,
        stopped: Mask,
    ) -> dict[str, Any]:
        """Report the episodes that ended and begin new ones in their place."""
        final_obs = np.full(self.num_envs, None, object)
        outcome, causes = (np.full(self.num_envs, "", object) for _ in range(2))
        which = np.flatnonzero(ended).tolist()
        for index in which:
            if not terminated[index]:
                final_obs[index] = self._native.obs[index].copy()
                outcome[index] = "end" if stopped[index] else "timeout"
                continue
            final_obs[index] = self._obs[index].copy()
            outcome[index] = "coin" if rewards[index] > 0 else "death"
            if outcome[index] == "death":
                tracker = self._tracker
                causes[index] = tracker.cause(index, actions[index]) if tracker else UNKNOWN
        final = self._episodes.final(ended, outcome, causes)
        for index in which:
            self._begin(index, natural=bool(terminated[index]))
        return {
            "final_obs": final_obs, "_final_obs": ended, "final_info": final, "_final_info": ended,
        }  # fmt: skip

    # ---- Saving, closing ----------------------------------------------------------------------

    def get_state(self) -> bytes:
        """The whole vector environment as bytes: games, generators, counters."""
        states = [self.game_state(index) for index in range(self.num_envs)]
        return pack(self.config, states, self._arrays())

    def set_state(self, blob: bytes) -> None:
        """Go on from the bytes of `get_state` of an environment with the same configuration."""
        self._restore(*unpack(self.config, blob))

    def branch(self, index: int, placements: Sequence[str]) -> list[int]:
        """Let the running episode of an environment also go on with coins placed otherwise.

        It goes on there as it is. For each placement a task is added, which begins from the state
        and the number of steps that the episode has now: at once where an environment has none.

        Args:
            index: of the environment, which plays a task.
            placements: of the coins, as texts, with the same start of the agent.

        Returns:
            The numbers of the new tasks.

        Raises:
            InputError: where the environment was not made with tasks.
        """
        tasks = self._listed("branch")
        here = Branch(self.game_state(index), int(self.length[index]))
        added = [
            tasks.add(replace(tasks.tasks[tasks.task[index]], placement=text), here)
            for text in placements
        ]
        idle = np.flatnonzero(tasks.task < 0)[: len(added)].tolist()
        for other in idle:
            self._begin(other)
        if idle:
            self._obs = self._native.obs.copy()
        return added

    def narrowed(self, which: NDArray[np.int64]) -> "ProcgenVectorEnv":
        """One of only these environments, all going on; this one is closed.

        Raises:
            InputError: where the environment was not made with tasks.
        """
        tasks = self._listed("be narrowed")
        other = ProcgenVectorEnv(self.config.replace(num_envs=len(which)), self.render_mode)
        other._listed("be narrowed").take_over(tasks)
        states = [self.game_state(index) for index in which.tolist()]
        other._restore(states, self._arrays(which))
        self.close()
        return other

    def _listed(self, what: str) -> TaskQueue:
        if self._tasks is None:
            raise InputError(f"only an environment that was made with tasks can {what}")
        return self._tasks

    def _arrays(self, which: Any = slice(None)) -> dict[str, NDArray[Any]]:
        """All but the games of these environments."""
        rows = {name: value[which] for name, value in self._episodes.save().items()}
        keys = np.array(self._mixture_keys)[which]
        return rows | self._queue.save(which) | {"mixture_keys": keys}

    def _restore(self, states: list[bytes], arrays: dict[str, NDArray[Any]]) -> None:
        keys = arrays["mixture_keys"].tolist()
        self._mixture_keys = [(seed, row) for seed, row in keys]
        self._episodes.load(arrays)
        self._queue.load(arrays)
        for index, state in enumerate(states):
            self._native.set_state(index, state)
            self._follow(index, state)
        self._obs = self._native.obs.copy()
        self._untouched = False

    @property
    def task(self) -> NDArray[np.int64]:
        """Which of the tasks each environment plays [n]; -1 where none is left."""
        if self._tasks is None:
            return np.full(self.num_envs, -1, np.int64)
        return self._tasks.task.copy()

    @property
    def length(self) -> NDArray[np.int32]:
        """Steps of the running episodes [n]."""
        return self._episodes.length

    def agent_x(self, index: int) -> float:
        """The column of an agent's center as it is now; costs three steps of a game."""
        return agent_motion(self._native.peek_state(index))[0]

    def agents_xy(self) -> NDArray[np.float32]:
        """The agents' centers as they are now [n, 2]: `agent_xy` where nothing is tracked."""
        places = [agent_motion(self._native.peek_state(i))[:2] for i in range(self.num_envs)]
        return np.array(places, np.float32)

    def episode_numbers(self) -> NDArray[np.int64]:
        """How many episodes each environment has begun [n]."""
        return self._episodes.number.copy()

    def game_state(self, index: int) -> bytes:
        """Procgen's state of one environment, for edits and privileged-information policies."""
        return self._native.get_state(index)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The current frames [64, 64, 3], one for each environment."""
        return tuple(self._obs) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Hand the library's object back for the next environment of this kind."""
        native.release(self._native)
        del self._native, self._obs

    def __getattr__(self, name: str) -> Any:
        """Only for what is missing: a closed environment's games would be another one's by now."""
        if name in _CLOSED and self.closed:
            raise ClosedEnvironmentError(f"{type(self).__name__} was used after close()")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles and copies: the state of the games, and the rest as it is."""
        states = [self.game_state(index) for index in range(self.num_envs)]
        kept = {name: value for name, value in vars(self).items() if name not in _REMADE}
        rebuilt = self.config, self.render_mode, self._tasks, states, self._arrays()
        return _rebuild, rebuilt, kept


def _rebuild(
    config: VecConfig,
    render_mode: str | None,
    tasks: TaskQueue | None,
    states: list[bytes],
    arrays: dict[str, NDArray[Any]],
) -> ProcgenVectorEnv:
    """An environment that goes on from where another one was."""
    vector = ProcgenVectorEnv(config, render_mode)
    if tasks is not None:
        vector._listed("be copied").take_over(tasks)
    vector._restore(states, arrays)
    return vector
