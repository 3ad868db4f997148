"""State sets: the frames on which a loss is averaged, collected once and cached.

A state set is named by a short text, `SOURCE[:PLACEMENT][/FILTER]`:

* `on-policy`: states that the checkpoint itself visits in its own training environment. They
  confound the weights with the distribution.
* `probe:PLACEMENT`: states that the checkpoint itself visits on the levels of the standard goal
  probes, held out from training, with coin and start as in the probe of that name.
* `frozen`: one set shared by all checkpoints and runs, the default of any comparison. A third each
  is visited by three fixed behaviors (random actions, right and jump, wandering in both
  directions) on levels outside training, under the placements of all arms in equal parts; it
  depends on no trained agent.

`:PLACEMENT` replaces the coin placement of the others, and `/FILTER` keeps a part: `coin-in-view`,
`coin-absent` (no coin in view), `past-coin` (the agent stands to the right of the coin).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import envs
from envs import LEFT, LEFT_JUMP, RIGHT, RIGHT_JUMP
from rl_slt import SettingsModel
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.store import digest
from rl_slt.pipeline.states.rollouts import (
    ENVS,
    Act,
    cached,
    coin_offsets,
    in_view,
    rollout,
    shared_env,
    thinned,
)
from rl_slt.versions import version_key

_HOLD = 10  # steps for which the wanderer keeps a move
_PATIENCE = 200  # kept steps of all environments, for every 32 states, before a filter is given up

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
        envs.parse_placement(match["place"])
    elif match["source"] == "probe":
        raise InputError.of("states", text, "probe:PLACEMENT")
    return StateSetName(match["source"], match["place"], match["keep"])


class StateSetSpec(SettingsModel):
    """All that a state set depends on, but for the policy that visits it.

    Attributes:
        name: as `parse_states` reads it.
        placements: of the coin, in equal parts.
        settings: what the levels look like.
        levels: half-open range of level seeds; None is unlimited.
        n: states.
        time_limit: steps of an episode at most; None is the game's own.
        seed: of levels, and of the actions.
    """

    name: str
    placements: tuple[str, ...]
    settings: envs.LevelSettings
    levels: tuple[int, int] | None
    n: int
    time_limit: int | None
    seed: int

    def key(self, weights: str, stage: str = "states") -> str:
        """Hash of the set and of the visiting policy's weights (empty for frozen sets)."""
        return digest([version_key(stage), self, weights])


def collect(spec: StateSetSpec, policy: nn.Module | None, cache: Path, weights: str = "") -> Tensor:
    """The states of a set, from the cache file where they were collected before.

    Args:
        spec: what to collect.
        policy: the visiting policy; None for the fixed behaviors of a frozen set.
        cache: folder of the cached sets.
        weights: hash of the policy's weights.

    Returns:
        Frames, uint8 `[n, 64, 64, 3]`.

    Raises:
        InputError: if the filter leaves too few states.
    """

    def visit() -> dict[str, np.ndarray]:
        actors = [_agent(policy, spec.seed)] if policy is not None else _behaviors(spec.seed)
        share = -(-spec.n // (len(actors) * len(spec.placements)))
        parts = [_visit(spec, place, act, share) for place in spec.placements for act in actors]
        states = np.concatenate(parts)
        order = np.random.default_rng(spec.seed).permutation(len(states))[: spec.n]
        return {"states": states[np.sort(order)]}

    arrays = cached(cache / f"{spec.key(weights)}.npz", visit)
    return torch.from_numpy(arrays["states"])


def _visit(spec: StateSetSpec, placement: str, act: Act, n: int) -> np.ndarray:
    """`n` states that pass the filter, from every 7th step of each environment."""
    vector = shared_env(placement, spec.settings, spec.levels, spec.time_limit)
    keep = FILTERS.get(parse_states(spec.name).keep or "")
    kept: list[np.ndarray] = []
    found = 0
    seen = thinned(rollout(vector, act, spec.seed))
    for frames, info, *_ in itertools.islice(seen, _PATIENCE * max(1, n // ENVS)):
        chosen = slice(None) if keep is None else keep(coin_offsets(info))
        kept.append(frames[chosen].copy())
        found += len(kept[-1])
        if found >= n:
            return np.concatenate(kept)[:n]
    raise InputError(
        f"state set {spec.name!r} found only {found} of {n} states under {placement!r}; "
        "take fewer states or another filter"
    )


def _agent(policy: nn.Module, seed: int) -> Act:
    generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def act(frames: np.ndarray, vector: Any) -> np.ndarray:
        logits = envs.logits_of(policy(torch.as_tensor(frames)))
        return envs.sample_actions(logits, generator)

    return act


def _behaviors(seed: int) -> list[Act]:
    """Random actions, right and jump, and wandering: one move held for 10 steps."""
    generator = np.random.default_rng(seed)
    moves, held = np.array([LEFT, LEFT_JUMP, RIGHT, RIGHT_JUMP]), np.zeros(ENVS, np.int64)
    clock = itertools.count()

    def wander(frames: np.ndarray, vector: Any) -> np.ndarray:
        due = (np.arange(ENVS) + next(clock)) % _HOLD == 0
        held[due] = generator.choice(moves, int(due.sum()))
        return held.copy()

    return [
        lambda frames, vector: generator.integers(0, envs.N_ACTIONS, len(frames)),
        lambda frames, vector: np.full(len(frames), RIGHT_JUMP),
        wander,
    ]
