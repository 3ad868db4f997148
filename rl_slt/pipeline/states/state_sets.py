"""State sets: the frames on which a loss is averaged, collected once and cached.

A state set is named by a short text, `SOURCE[:PLACEMENT][/FILTER]`:

* `on-policy`: states that the checkpoint itself visits in its own training environment. They
  confound the weights with the distribution.
* `probe:PLACEMENT`: states that the checkpoint itself visits on the levels of the standard goal
  probes, held out from training, with coin and start as in the probe of that name.
* `frozen`: one set shared by all checkpoints and runs, the default of any comparison. A third each
  is visited by three fixed behaviours (random actions, right and jump, wandering in both
  directions) on levels outside training, under the placements of all arms in equal parts; it
  depends on no trained agent.

`:PLACEMENT` replaces the coin placement of the others, and `/FILTER` keeps a part: `coin-in-view`,
`coin-absent` (no coin in view), `past-coin` (the agent stands to the right of the coin).
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import envs
from agents import write_bytes
from envs import LEFT, LEFT_JUMP, N_ACTIONS, RIGHT, RIGHT_JUMP, logits_of, sample_actions
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import digest

VIEW = 6  # columns that the agent sees to each side
_THIN = 7  # keep every 7th step of an environment, so that neighbours are less alike
_ENVS = 32
_HOLD = 10  # steps for which the wanderer keeps a move
_VERSION = 1  # raise when the same settings would collect other states

Act = Callable[[Any, dict[str, Any]], np.ndarray]


@dataclass(frozen=True)
class StateSpec:
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


SOURCES = ("on-policy", "frozen", "probe")
FILTERS: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "coin-in-view": lambda m: _in_view(m),
    "coin-absent": lambda m: ~_in_view(m),
    "past-coin": lambda m: m["agent_x"] > m["coin_x"] + 1,
}


def parse_states(text: str) -> StateSpec:
    """The state set of that name.

    Raises:
        InputError: if the source, placement or filter is unknown.
    """
    match = re.fullmatch(r"(?P<source>[a-z-]+)(?::(?P<place>[^/]+))?(?:/(?P<keep>[a-z-]+))?", text)
    if match is None or match["source"] not in SOURCES:
        raise InputError(
            f"unknown state set {text!r}; allowed: {', '.join(SOURCES)}, then :PLACEMENT, "
            f"then /{' or /'.join(FILTERS)} if wished"
        )
    if match["keep"] and match["keep"] not in FILTERS:
        raise InputError(f"unknown state filter {match['keep']!r}; allowed: {', '.join(FILTERS)}")
    if match["place"]:
        envs.parse_placement(match["place"])
    elif match["source"] == "probe":
        raise InputError(f"state set {text!r} names no probe; allowed: probe:PLACEMENT")
    return StateSpec(match["source"], match["place"], match["keep"])


@dataclass(frozen=True)
class Recipe:
    """All that a state set depends on, but for the policy that visits it."""

    spec: str
    placements: tuple[str, ...]
    settings: envs.LevelSettings
    levels: tuple[int, int] | None
    n: int
    time_limit: int | None
    seed: int

    def key(self, weights: str) -> str:
        """Hash of the recipe and of the visiting policy's weights (empty for frozen sets)."""
        return digest({**dataclasses.asdict(self), "weights": weights, "version": _VERSION})


def collect(recipe: Recipe, policy: nn.Module | None, cache: Path, weights: str = "") -> Tensor:
    """The states of a recipe, from the cache file where they were collected before.

    Args:
        recipe: what to collect.
        policy: the visiting policy; None for the fixed behaviours of a frozen set.
        cache: folder of the cached sets.
        weights: hash of the policy's weights.

    Returns:
        Frames, uint8 [n, 64, 64, 3].

    Raises:
        InputError: if the filter leaves too few states.
    """
    path = cache / f"{recipe.key(weights)}.npz"
    if (stored := unpacked(path)) is not None and stored["states"].dtype == np.uint8:
        return torch.from_numpy(stored["states"])
    actors = [_agent(policy, recipe.seed)] if policy is not None else _behaviours(recipe.seed)
    share = -(-recipe.n // (len(actors) * len(recipe.placements)))
    parts = []
    for placement in recipe.placements:
        for actor in actors:
            parts.append(_visit(recipe, placement, actor, share))
    states = np.concatenate(parts)
    order = np.random.default_rng(recipe.seed).permutation(len(states))[: recipe.n]
    states = states[np.sort(order)]
    cache.mkdir(parents=True, exist_ok=True)
    write_bytes(path, packed(states=states))
    return torch.from_numpy(states)


def unpacked(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a cached file; None where there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def packed(**arrays: np.ndarray) -> bytes:
    """Arrays as a compressed file's bytes: made in memory, so that a full disk is one error."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@lru_cache(maxsize=16)
def shared_env(
    placement: str,
    settings: envs.LevelSettings,
    levels: tuple[int, int] | None,
    limit: int | None,
    num: int = _ENVS,
    track: bool = True,
) -> Any:
    """One environment object for each setting: procgen leaks memory when they are destroyed."""
    return envs.make_vec(
        num, coin=placement, levels=levels, settings=settings, time_limit=limit, track=track,
        threads=torch.get_num_threads(),
    )  # fmt: skip


def _visit(recipe: Recipe, placement: str, act: Act, n: int) -> np.ndarray:
    """`n` states that pass the filter, every `_THIN`-th step of each environment."""
    vector = shared_env(placement, recipe.settings, recipe.levels, recipe.time_limit)
    keep = FILTERS.get(parse_states(recipe.spec).keep or "")
    kept: list[np.ndarray] = []
    found, limit = 0, 200 * _THIN * max(1, n // _ENVS)
    for step, (frames, info) in enumerate(_steps(vector, act, recipe.seed)):
        if step % _THIN == _THIN - 1:
            chosen = np.ones(len(frames), bool) if keep is None else keep(_meta(info))
            kept.append(frames[chosen].copy())
            found += int(chosen.sum())
        if found >= n:
            return np.concatenate(kept)[:n]
        if step > limit:
            break
    raise InputError(
        f"state set {recipe.spec!r} found only {found} of {n} states under {placement!r}; "
        "take fewer states or another filter"
    )


def _steps(vector: Any, act: Act, seed: int) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    frames, info = vector.reset(seed=seed)
    while True:
        yield frames, info
        frames, _, _, _, info = vector.step(act(frames, info))


def _meta(info: dict[str, Any]) -> dict[str, np.ndarray]:
    coin, agent = np.asarray(info["coin_xy"], float), np.asarray(info["agent_xy"], float)
    coin = np.where(coin < 0, np.nan, coin)
    return {
        "coin_x": coin[:, 0], "coin_y": coin[:, 1], "agent_x": agent[:, 0], "agent_y": agent[:, 1],
    }  # fmt: skip


def _in_view(meta: dict[str, np.ndarray]) -> np.ndarray:
    far = np.maximum(abs(meta["coin_x"] - meta["agent_x"]), abs(meta["coin_y"] - meta["agent_y"]))
    return np.asarray(far <= VIEW + 0.5)


def _agent(policy: nn.Module, seed: int) -> Act:
    generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def act(frames: Any, info: dict[str, Any]) -> np.ndarray:
        return sample_actions(logits_of(policy(torch.as_tensor(frames))), generator)

    return act


def _behaviours(seed: int) -> list[Act]:
    """Random actions, right and jump, and wandering: one move held for 10 steps."""
    generator = np.random.default_rng(seed)
    moves, held = np.array([LEFT, LEFT_JUMP, RIGHT, RIGHT_JUMP]), np.zeros(_ENVS, np.int64)
    clock = itertools.count()

    def wander(frames: Any, info: dict[str, Any]) -> np.ndarray:
        turn = (np.arange(_ENVS) + next(clock)) % _HOLD == 0
        held[turn] = generator.choice(moves, int(turn.sum()))
        return held.copy()

    return [
        lambda frames, info: generator.integers(0, N_ACTIONS, len(frames)),
        lambda frames, info: np.full(len(frames), RIGHT_JUMP),
        wander,
    ]
