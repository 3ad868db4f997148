"""What a loss is averaged over: state sets and whole episodes, played once and cached.

A state set is named by a short text, `SOURCE[:PLACEMENT][/FILTER]`:

* `on-policy`: states that the checkpoint itself visits in its own training environment. They
  confound the weights with the distribution.
* `probe:PLACEMENT`: states that the checkpoint itself visits on the levels of the standard goal
  probes, held out from training, with coin and start as in the probe of that name.
* `frozen`: one set shared by all checkpoints and runs, the default of any comparison. A third each
  is visited by three fixed behaviors (random actions, right and jump, wandering in both
  directions) on levels outside training, under the placements of all arms in equal parts, each on
  levels of its own; it depends on no trained agent.

`:PLACEMENT` replaces the coin placement of the others, and `/FILTER` keeps a part: `coin-in-view`,
`coin-absent` (no coin in view), `past-coin` (the agent stands to the right of the coin).

States come with the episode that they were visited in, since states of one episode are alike: the
error over states counts episodes. No level is met in two parts of a frozen set but by chance, so
that episodes are independent.

Losses that read rewards take whole on-policy episodes. Their rewards, returns and advantages are in
the units that training saw: divided by the deviation of the discounted return that the checkpoint
recorded, so that the value head is measured in its own unit.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import envs
from agents import TrainConfig, make_folder, read_header, write_bytes
from analysis.probes import SUITES
from envs import ENVS, Act, Moment, behaviors, rollout, thinned
from rl_slt import PolicyData, SettingsModel, Simulator, TabularMDP
from rl_slt.data.simulate import Policy, pick
from rl_slt.errors import InputError
from rl_slt.losses import Loss
from rl_slt.pipeline.disk.store import digest
from rl_slt.versions import version_key

MOST_STEPS = 1000  # procgen's own limit
VIEW = 6  # columns that the agent sees to each side
_PATIENCE = 200  # kept steps of all environments, for every 32 states, before a filter is given up


def coin_offsets(info: dict[str, Any]) -> np.ndarray:
    """From each agent to the coin, in cells, `[E, 2]`; NaN where the level has no coin."""
    coin, agent = np.asarray(info["coin_xy"], float), np.asarray(info["agent_xy"], float)
    return np.asarray(np.where(coin < 0, np.nan, coin) - agent)


def in_view(offsets: np.ndarray) -> np.ndarray:
    """Whether the agent sees what is so far away, `[E]`; never what is not there (NaN)."""
    return np.asarray(np.abs(offsets).max(axis=1) <= VIEW + 0.5)


SOURCES = ("on-policy", "frozen", "probe")
# From offsets of the coin `[E, 2]` (NaN: no coin) to whether a state is kept, `[E]`.
FILTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "coin-in-view": in_view,
    "coin-absent": lambda offsets: ~in_view(offsets),
    "past-coin": lambda offsets: offsets[:, 0] < -1,
}


@dataclass(frozen=True)
class StateSetName:
    """A parsed name of a state set."""

    source: str
    placement: str | None = None
    keep: str | None = None

    @property
    def own(self) -> bool:
        """Whether each checkpoint visits states of its own."""
        return self.source != "frozen"

    def __str__(self) -> str:
        place = f":{self.placement}" if self.placement else ""
        return f"{self.source}{place}{'/' + self.keep if self.keep else ''}"


def parse_states(text: str) -> StateSetName:
    """The state set of that name.

    Raises:
        InputError: if the source, placement or filter is unknown.
    """
    match = re.fullmatch(r"(?P<source>[a-z-]+)(?::(?P<place>[^/]+))?(?:/(?P<keep>[a-z-]+))?", text)
    if match is None or match["source"] not in SOURCES:
        allowed = f"{' or '.join(SOURCES)}, then :PLACEMENT and /FILTER if wished"
        raise InputError.of("states", text, allowed)
    if match["keep"] and match["keep"] not in FILTERS:
        raise InputError.of("states", text, f"one of the filters /{', /'.join(FILTERS)}, or none")
    if match["place"]:
        _check_placement(match["place"])
    elif match["source"] == "probe":
        raise InputError.of("states", text, "probe:PLACEMENT")
    return StateSetName(match["source"], match["place"], match["keep"])


def _check_placement(text: str) -> None:
    """Raise InputError unless a game knows the placement; which game it is for is known later."""
    refused = []
    for game in envs.GAMES.values():
        try:
            game.parse_coin(text)
        except InputError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


class StateSet(SettingsModel):
    """What a loss is averaged over: all that it depends on, but for the policy that visits it.

    Attributes:
        name: as `parse_states` reads it.
        placements: of the coin, in equal parts.
    """

    name: str
    placements: tuple[str, ...]

    def key(self, weights: str, stage: str = "states") -> str:
        """Hash of the set and of the visiting policy's weights (empty for frozen sets)."""
        return digest([version_key(stage), self, weights])

    def read_by(self, loss: Loss) -> StateSet:
        """What of the set a loss reads: of two sets that are equal in it, one is enough."""
        return self

    @property
    def mdp(self) -> TabularMDP | None:
        """The process that the states are of, where it is known."""
        return None

    def simulator(
        self, checkpoint: Path, classes: tuple[tuple[int, ...], ...] | None
    ) -> Simulator | None:
        """What plays episodes on the levels of the set, where that is known.

        Args:
            checkpoint: folder of the policy that plays, which knows the scale of rewards.
            classes: of actions that count as one for a loss; None keeps all apart.
        """
        return None

    def load(
        self, loss: Loss, policy: nn.Module, checkpoint: Path, cache: Path, weights: str,
        train: TrainConfig,
    ) -> PolicyData:  # fmt: skip
        """The data that a loss is averaged over.

        Args:
            loss: which says what its samples are.
            policy: of the checkpoint.
            checkpoint: its folder.
            cache: folder of what was collected before.
            weights: hash of the policy.
            train: how it was trained.

        Raises:
            InputError: there are no such data.
        """
        raise NotImplementedError

    def origin(
        self, loss: Loss, policy: nn.Module, cache: Path, weights: str
    ) -> pd.DataFrame | None:
        """Where each sample that `load` gives comes from, a row each; None where nobody knows.

        The arguments are those of `load`.
        """
        return None

    def groups(self, origin: pd.DataFrame) -> pd.Series:
        """What kind of state each row of `origin` is, in words."""
        raise NotImplementedError

    def few(self, most: int, cache: Path) -> PolicyData:
        """At most so many states of a frozen set."""
        raise NotImplementedError


class StateSetSpec(StateSet):
    """States that are visited in a game of procgen.

    Attributes:
        settings: what the levels look like.
        levels: half-open range of level seeds; None is unlimited.
        n: states.
        time_limit: steps of an episode at most; None is the game's own.
        seed: of levels, and of the actions.
    """

    settings: envs.LevelSettings
    levels: tuple[int, int] | None
    n: int
    time_limit: int | None
    seed: int

    def simulator(
        self, checkpoint: Path, classes: tuple[tuple[int, ...], ...] | None
    ) -> LevelSimulator:
        """See `StateSet`."""
        return LevelSimulator(self, reward_scale(checkpoint), classes)

    def load(
        self, loss: Loss, policy: nn.Module, checkpoint: Path, cache: Path, weights: str,
        train: TrainConfig,
    ) -> PolicyData:  # fmt: skip
        """See `StateSet`; a loss that needs records takes whole episodes."""
        if loss.plays:
            return LevelSimulator(self, 1.0, None).starts()
        if loss.needs:
            return collect_episodes(self, policy, checkpoint, cache, weights, train)
        own = parse_states(self.name).own
        return collect(self, policy if own else None, cache, weights if own else "")

    def origin(
        self, loss: Loss, policy: nn.Module, cache: Path, weights: str
    ) -> pd.DataFrame | None:
        """See `StateSet`: level seed, placement, episode, and cells of agent and coin (-1: none).

        Of whole episodes nothing is known but their numbers.
        """
        if loss.plays or loss.needs:
            return None
        own = parse_states(self.name).own
        arrays = _visited(self, policy if own else None, cache, weights if own else "", ORIGIN)
        found = pd.DataFrame({name: arrays[name] for name in ORIGIN})
        found = found.astype(dict.fromkeys(("level_seed", "coin_x", "coin_y"), np.int64))
        return found.assign(placement=np.array(self.placements, object)[found["placement"]])

    def groups(self, origin: pd.DataFrame) -> pd.Series:
        """See `StateSet`: where the agent sees the coin."""
        offsets = np.column_stack([origin["coin_x"] - origin["x"], origin["coin_y"] - origin["y"]])
        seen = in_view(offsets) & (origin["coin_x"] >= 0).to_numpy()
        side = np.where(offsets[:, 0] < -1, "coin in view, to the left", "coin in view, ahead")
        return pd.Series(np.where(seen, side, "no coin in view"), index=origin.index)

    def few(self, most: int, cache: Path) -> PolicyData:
        """See `StateSet`; evenly spaced."""
        data = collect(self, None, cache)
        return data.take(slice(None, None, max(1, len(data) // most))).take(slice(most))


def procgen_states(
    train: TrainConfig, text: str, placements: Sequence[str], n: int, seed: int
) -> StateSetSpec:
    """The state set of that name for a run in a game of procgen.

    Args:
        train: whose level settings and time limit it has.
        text: name of the set.
        placements: of the coin, for a frozen set that names none.
        n: number of states.
        seed: of levels and actions.

    Raises:
        InputError: there is no such set, or no such placement in the game.
    """
    name, probed = parse_states(text), SUITES["standard"].seeds
    levels = {"frozen": envs.FROZEN_LEVELS, "probe": (probed[0], probed[-1] + 1)}
    own = (train.coin,) if name.own else tuple(placements)
    if name.placement:
        envs.parse_placement(name.placement)
    return StateSetSpec(
        name=str(name),
        placements=(name.placement,) if name.placement else own,
        settings=train.settings,
        levels=levels.get(name.source, train.levels),
        n=n,
        time_limit=train.time_limit,
        seed=seed,
    )


def collect(
    spec: StateSetSpec, policy: nn.Module | None, cache: Path, weights: str = ""
) -> PolicyData:
    """The states of a set, from the cache file where they were collected before.

    Args:
        spec: what to collect.
        policy: the visiting policy; None for the fixed behaviors of a frozen set.
        cache: folder of the cached sets.
        weights: hash of the policy's weights.

    Returns:
        Frames, uint8 `[n, 64, 64, 3]`, and the number of the episode of each, from 0 on.

    Raises:
        InputError: if the filter leaves too few states.
    """
    arrays = _visited(spec, policy, cache, weights)
    known = {"states", "episode"} & arrays.keys()
    return PolicyData(**{name: torch.from_numpy(arrays[name]) for name in known})


def _visited(
    spec: StateSetSpec, policy: nn.Module | None, cache: Path, weights: str,
    names: Sequence[str] = (),
) -> dict[str, np.ndarray]:  # fmt: skip
    """Frames `states`, and where each comes from (`ORIGIN`).

    The arguments are those of `collect`, and names of arrays that must be among them: in the caches
    of earlier versions not all are.
    """

    def visit() -> dict[str, np.ndarray]:
        actors = behaviors(spec.seed) if policy is None else [_agent(policy, spec.seed)]
        parts = list(itertools.product(spec.placements, actors))
        share = -(-spec.n // len(parts))
        # With the same levels in all six parts, half the effective dimension of the demo's
        # policies varied 1.3 to 1.4 times as much over sets, 1.6 times the error over episodes.
        seeds = np.random.SeedSequence(spec.seed).generate_state(len(parts)) >> 1
        visits = [
            _visit(spec, place, act, share, int(seed))
            for (place, act), seed in zip(parts, seeds, strict=True)
        ]
        states, episodes, cells = (np.concatenate(arrays) for arrays in zip(*visits, strict=True))
        episodes = np.column_stack([np.repeat(np.arange(len(parts)), share), episodes])
        kept = np.sort(np.random.default_rng(spec.seed).permutation(len(states))[: spec.n])
        numbers = np.unique(episodes[kept], axis=0, return_inverse=True)[1].reshape(-1)
        places = np.repeat([spec.placements.index(place) for place, _ in parts], share)
        known = {"states": states, "placement": places, **dict(zip(CELLS, cells.T, strict=True))}
        return {name: array[kept] for name, array in known.items()} | {"episode": numbers}

    return cached(cache / f"{spec.key(weights)}.npz", visit, names)


CELLS = ("level_seed", "x", "y", "coin_x", "coin_y")
ORIGIN = ("episode", "placement", *CELLS)


def _visit(
    spec: StateSetSpec, placement: str, act: Act, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`n` states that pass the filter, from every 7th step of each environment.

    Returns:
        Frames `[n, 64, 64, 3]`; of each the environment and its count of episodes, `[n, 2]`; and
        level seed, cell of the agent and of the coin, `[n, 5]`.
    """
    vector = shared_env(placement, spec.settings, spec.levels, spec.time_limit)
    keep = FILTERS.get(parse_states(spec.name).keep or "")
    frames: list[np.ndarray] = []
    episodes: list[np.ndarray] = []
    cells: list[np.ndarray] = []
    found = 0
    most = _PATIENCE * max(1, n // ENVS)
    for moment in itertools.islice(kept_moments(vector, act, seed), most):
        mask = np.ones(ENVS, bool) if keep is None else keep(coin_offsets(moment.info))
        where = np.flatnonzero(mask)
        frames.append(moment.frames[where])
        episodes.append(np.column_stack([where, vector.episode_numbers()[where]]))
        known = (moment.info[name] for name in ("level_seed", "agent_xy", "coin_xy"))
        cells.append(np.column_stack([np.asarray(each)[where] for each in known]))
        found += len(where)
        if found >= n:
            first, second, third = (np.concatenate(r)[:n] for r in (frames, episodes, cells))
            return first, second, third
    raise InputError(
        f"state set {spec.name!r} found only {found} of {n} states under {placement!r}; "
        "take fewer states or another filter"
    )


def kept_moments(vector: envs.ProcgenVectorEnv, act: Act, seed: int) -> Iterator[Moment]:
    """Every 7th moment of a rollout, with the agents' places, which are read for these alone."""
    for moment in thinned(rollout(vector, act, seed)):
        yield moment._replace(info=moment.info | {"agent_xy": vector.agents_xy()})


def _agent(policy: nn.Module, seed: int) -> Act:
    generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def act(frames: np.ndarray, vector: Any) -> np.ndarray:
        return envs.sample_actions(envs.logits_of(policy(torch.from_numpy(frames))), generator)

    return act


def collect_episodes(
    spec: StateSetSpec,
    policy: nn.Module,
    checkpoint: Path,
    cache: Path,
    weights: str,
    train: TrainConfig,
) -> PolicyData:
    """At least `spec.n` states in whole episodes, from the cache where they were played before.

    Args:
        spec: placement, levels, settings and number of states.
        policy: the policy that plays, from frames to `(logits, value)`.
        checkpoint: its folder, which knows the scale of rewards.
        cache: folder of cached episodes.
        weights: hash of the policy's weights.
        train: its `gamma` discounts returns and advantages, and `gae_lambda` is the lambda of
            generalized advantage estimation (Schulman et al. 2016, equation 16).

    Returns:
        All fields of `PolicyData` but `reference_logits`; states uint8 `[N, 64, 64, 3]`.
    """
    key = digest([spec.key(weights, "episodes"), train.gamma, train.gae_lambda])

    def play() -> dict[str, np.ndarray]:
        return _fields(_play(spec, policy), reward_scale(checkpoint), train)

    arrays = cached(cache / f"episodes-{key}.npz", play)
    return PolicyData(**{name: torch.from_numpy(array) for name, array in arrays.items()})


@dataclass(frozen=True)
class LevelSimulator:
    """Plays a game's levels with any policy: a `rl_slt.Simulator`.

    Attributes:
        spec: placement of the coin, settings and time limit, past which nothing is earned.
        scale: that training divided rewards by, so that they have the unit of the value head.
        classes: of actions that do the same; a policy of as many actions has one for each of them.
    """

    spec: StateSetSpec
    scale: float
    classes: tuple[tuple[int, ...], ...] | None

    def __call__(self, policy: Policy, levels: torch.Tensor, seed: int) -> PolicyData:
        """See `rl_slt.Simulator`."""
        vector = self._vector(levels.tolist(), 2 * ENVS)
        noise = np.random.default_rng(seed).random((len(levels), self._limit))
        obs, _ = vector.reset()
        rows: list[tuple[torch.Tensor, ...]] = []
        while (active := (playing := vector.task) >= 0).any():
            task = playing[active]
            frames = torch.from_numpy(obs[active]).to(levels.device)
            probs = envs.logits_of(policy(frames)).softmax(-1)
            uniform = torch.from_numpy(noise[task, vector.length[active]]).to(levels.device)
            actions = pick(probs, uniform)
            moves = np.full(vector.num_envs, envs.NOOP)
            chosen = actions.cpu().numpy()
            if self.classes is not None and probs.shape[-1] == len(self.classes):
                chosen = np.array([first for first, *_ in self.classes])[chosen]
            moves[active] = chosen
            obs, rewards, _, _, _ = vector.step(moves)
            earned = torch.from_numpy(rewards[active] / self.scale).to(probs)
            rows.append((torch.from_numpy(task).to(levels.device), frames, actions, earned))
        vector.close()
        episode, states, taken, earned = (torch.cat(part) for part in zip(*rows, strict=True))
        data = PolicyData(states, actions=taken, rewards=earned, episode=episode)
        return data.take(torch.argsort(episode, stable=True))

    def starts(self) -> PolicyData:
        """`spec.n` levels, one a row: first frame, level, and a number as its episode."""
        low, high = self.spec.levels or (0, envs.N_LEVELS)
        levels = np.random.default_rng(self.spec.seed).integers(low, high, self.spec.n)
        vector = self._vector(levels.tolist(), self.spec.n)
        frames, _ = vector.reset()
        data = PolicyData(
            torch.from_numpy(frames.copy()), level=torch.from_numpy(levels),
            episode=torch.arange(self.spec.n),
        )  # fmt: skip
        vector.close()
        return data

    @property
    def _limit(self) -> int:
        return self.spec.time_limit or MOST_STEPS

    def _vector(self, levels: Sequence[int], most: int) -> envs.ProcgenVectorEnv:
        parsed = envs.parse_placement(self.spec.placements[0])
        # Of a mixture a level has the same part in every episode.
        places = [parsed.choose(np.random.default_rng([self.spec.seed, i])) for i in levels]
        tasks = [
            envs.Task(str(place), level, self._limit)
            for place, level in zip(places, levels, strict=True)
        ]
        return envs.make_vec(
            min(most, len(tasks)), tasks=tasks, settings=self.spec.settings, track=False, threads=1
        )


def reward_scale(checkpoint: Path) -> float:
    """What training divided rewards by at a checkpoint."""
    variance = read_header(checkpoint).reward.get("var")
    return 1.0 if variance is None else math.sqrt(variance + 1e-8)


@torch.inference_mode()
def _play(spec: StateSetSpec, policy: nn.Module) -> list[dict[str, Any]]:
    """Whole episodes, each with frames, actions, log-probabilities, values and rewards."""
    vector = shared_env(spec.placements[0], spec.settings, spec.levels, spec.time_limit)
    generator = torch.Generator().manual_seed(spec.seed)
    running: list[dict[str, list[Any]]] = [defaultdict(list) for _ in range(ENVS)]

    def act(frames: np.ndarray, vector: Any) -> np.ndarray:
        logits, values = policy(torch.from_numpy(frames))
        log_p = logits.log_softmax(-1)
        # Not `envs.sample_actions`: its softmax is rounded otherwise, which draws other actions.
        actions = torch.multinomial(log_p.exp(), 1, generator=generator)
        seen = {"states": frames, "actions": actions[:, 0].numpy(), "values": values.numpy()}
        seen["log_probs"] = log_p.gather(1, actions)[:, 0].numpy()
        for i in range(ENVS):
            for name, array in seen.items():
                running[i][name].append(array[i])
        return seen["actions"]

    done: list[dict[str, Any]] = []
    states = 0
    steps = rollout(vector, act, spec.seed)
    next(steps)
    while states < spec.n:
        _, info, rewards, terminated, truncated = next(steps)
        for i in range(ENVS):
            running[i]["rewards"].append(float(rewards[i]))
            if terminated[i] or truncated[i]:
                last = 0.0  # the value of what a truncated episode did not come to
                if truncated[i]:
                    last = float(policy(torch.from_numpy(info["final_obs"][i])[None])[1])
                done.append({**running[i], "last_value": last})
                states += len(running[i]["rewards"])
                running[i] = defaultdict(list)
    return done


def _fields(
    episodes: list[dict[str, Any]], scale: float, train: TrainConfig
) -> dict[str, np.ndarray]:
    parts = defaultdict(list)
    for number, episode in enumerate(episodes):
        rewards = np.asarray(episode["rewards"], np.float64) / scale
        values = np.append(np.asarray(episode["values"], np.float64), episode["last_value"])
        parts["returns"].append(discounted(rewards, values[-1], train.gamma))
        delta = rewards + train.gamma * values[1:] - values[:-1]
        parts["advantages"].append(discounted(delta, 0.0, train.gamma * train.gae_lambda))
        parts["rewards"].append(rewards)
        parts["episode"].append(np.full(len(rewards), number))
        for name in ("states", "actions", "log_probs"):
            parts[name].append(np.stack(episode[name]))
    joined = {name: np.concatenate(rows) for name, rows in parts.items()}
    floats = ("returns", "advantages", "rewards", "log_probs")
    return joined | {name: joined[name].astype(np.float32) for name in floats}


def discounted(values: np.ndarray, last: float, factor: float) -> np.ndarray:
    """`out[t] = values[t] + factor * out[t + 1]`, with `out[T] = last`; `[T]`."""
    out = np.empty_like(values)
    for t in reversed(range(len(values))):
        last = out[t] = values[t] + factor * last
    return out


@lru_cache(maxsize=16)
def shared_env(
    placement: str,
    settings: envs.LevelSettings,
    levels: tuple[int, int] | None,
    limit: int | None,
    num: int = ENVS,
) -> envs.ProcgenVectorEnv:
    """One environment object for each setting: procgen leaks memory when they are destroyed."""
    return envs.make_vec(
        num, coin=placement, levels=levels, settings=settings, time_limit=limit,
        threads=torch.get_num_threads(),
    )  # fmt: skip


def cached(
    path: Path, collect: Callable[[], dict[str, np.ndarray]], names: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays in a file, `states` (uint8) among them; collected and written where it has none.

    So it is where one of the `names` is lacking.

    A file that does not read is written again. It is packed in memory, so that a full disk is one
    error and leaves nothing half written.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if arrays["states"].dtype == np.uint8 and arrays.keys() >= {*names}:
            return arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    arrays, buffer = collect(), io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    make_folder(path.parent)
    write_bytes(path, buffer.getvalue())
    return arrays
