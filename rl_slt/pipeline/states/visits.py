"""States that two agents visit, with what each state is like: where they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import envs
from envs import FROZEN_LEVELS, NetworkPolicy
from rl_slt.pipeline.states.state_sets import VIEW, shared_env

_ENVS = 32
_THIN = 7  # keep every 7th step of an environment, so that neighbours are less alike


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
        vector = shared_env(placement, settings, FROZEN_LEVELS, time_limit, _ENVS)
        for name, policy in agents.items():
            seen, about = _play(vector, NetworkPolicy(policy, "sampled", seed), share, seed)
            frames.append(seen)
            rows.append(about.assign(placement=placement, visitor=name))
    return Visits(torch.from_numpy(np.concatenate(frames)), pd.concat(rows, ignore_index=True))


def _play(vector: Any, act: NetworkPolicy, n: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    obs, info = vector.reset(seed=seed)
    frames: list[np.ndarray] = []
    rows: list[pd.DataFrame] = []
    step = 0
    while sum(len(frame) for frame in frames) < n:
        if step % _THIN == _THIN - 1:
            frames.append(obs.copy())
            rows.append(pd.DataFrame({"level_seed": info["level_seed"], "kind": kinds(info)}))
        obs, _, _, _, info = vector.step(act(obs, vector))
        step += 1
    return np.concatenate(frames)[:n], pd.concat(rows, ignore_index=True)[:n]


def kinds(info: dict[str, Any]) -> list[str]:
    """Where the coin is, as the agent of each environment sees it."""
    coin, agent = np.asarray(info["coin_xy"], float), np.asarray(info["agent_xy"], float)
    far = np.abs(coin - agent).max(axis=1)
    out = np.where(
        coin[:, 0] > agent[:, 0], "coin in view, to the right", "coin in view, to the left"
    )
    out = np.where(far > VIEW + 0.5, "coin out of view", out)
    absent = ~(coin[:, 0] >= 0)
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
    obs, _ = vector.reset(seed=seed)
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    while going.any():
        obs, reward, ended, cut, _ = vector.step(act(obs, vector))
        total += np.where(going, reward, 0.0)
        going &= ~(ended | cut)
    error = float(total.std(ddof=1)) / episodes**0.5 if episodes > 1 else float("nan")
    return float(total.mean()), error
