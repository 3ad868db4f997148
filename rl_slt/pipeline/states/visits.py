"""States that two agents visit, with what each state is like: where they are compared."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import envs
from envs import FROZEN_LEVELS, NetworkPolicy
from rl_slt.pipeline.states.rollouts import (
    ENVS,
    coin_offsets,
    in_view,
    rollout,
    shared_env,
    thinned,
)


@dataclass(frozen=True)
class Visits:
    """Frames uint8 `[N, 64, 64, 3]` and a row for each: placement, level_seed, visitor, kind."""

    states: Tensor
    about: pd.DataFrame

    @property
    def groups(self) -> list[str]:
        """The level that each state belongs to, whoever visits it, `[N]`."""
        both = zip(self.about["placement"], self.about["level_seed"], strict=True)
        return [f"{placement} {level}" for placement, level in both]


def visit(
    agents: dict[str, nn.Module],
    placements: tuple[str, ...],
    settings: envs.LevelSettings,
    time_limit: int | None,
    n: int,
    seed: int,
) -> Visits:
    """About n states, in equal parts of each agent under each placement, on levels held out.

    Args:
        agents: policies by name; each plays with sampled actions.
        placements: of the coin.
        settings: what the levels look like.
        time_limit: steps of an episode at most.
        n: states in all.
        seed: of levels and actions.
    """
    share = -(-n // (len(agents) * len(placements)))
    frames, rows = [], []
    for placement in placements:
        vector = shared_env(placement, settings, FROZEN_LEVELS, time_limit)
        for name, policy in agents.items():
            seen, about = _play(vector, NetworkPolicy(policy, "sampled", seed), share, seed)
            frames.append(seen)
            rows.append(about.assign(placement=placement, visitor=name))
    return Visits(torch.from_numpy(np.concatenate(frames)), pd.concat(rows, ignore_index=True))


def _play(
    vector: envs.ProcgenVectorEnv, act: NetworkPolicy, n: int, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    frames: list[np.ndarray] = []
    rows: list[pd.DataFrame] = []
    for seen in itertools.islice(thinned(rollout(vector, act, seed)), -(-n // ENVS)):
        frames.append(seen.frames.copy())
        rows.append(pd.DataFrame({"level_seed": seen.info["level_seed"], "kind": kinds(seen.info)}))
    return np.concatenate(frames)[:n], pd.concat(rows, ignore_index=True)[:n]


def kinds(info: dict[str, Any]) -> list[str]:
    """Where the coin is, as the agent of each environment sees it."""
    offsets = coin_offsets(info)
    right = offsets[:, 0] > 0
    out = np.where(right, "coin in view, to the right", "coin in view, to the left")
    out = np.where(in_view(offsets), out, "coin out of view")
    absent = np.isnan(offsets[:, 0])
    return [str(kind) for kind in np.where(absent, "no coin in the level", out)]


def mean_return(
    policy: nn.Module,
    placement: str,
    settings: envs.LevelSettings,
    time_limit: int | None,
    episodes: int,
    seed: int,
) -> tuple[float, float]:
    """Mean raw return and its standard error over the first episode of each environment.

    Levels, starts and the noise of actions are the same for every policy.
    """
    vector = shared_env(placement, settings, FROZEN_LEVELS, time_limit, episodes)
    act = NetworkPolicy(policy, "sampled", seed)
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    for step in rollout(vector, act, seed):
        total += np.where(going, step.rewards, 0.0)
        going &= ~(step.terminated | step.truncated)
        if not going.any():
            break
    error = float(total.std(ddof=1)) / episodes**0.5 if episodes > 1 else float("nan")
    return float(total.mean()), error
