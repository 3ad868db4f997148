"""Whole on-policy episodes of a checkpoint, for the losses that read rewards.

Rewards, returns and advantages are in the units that training saw: divided by the deviation of the
discounted return that the checkpoint recorded, so that the value head is measured in its own unit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from agents import read_header, write_bytes
from rl_slt import PolicyData
from rl_slt.pipeline.disk.store import digest
from rl_slt.pipeline.states.state_sets import Recipe, packed, shared_env, unpacked

_ENVS = 32
_VERSION = 1  # raise when the same settings would collect other episodes


def collect_episodes(
    recipe: Recipe,
    policy: nn.Module,
    checkpoint: Path,
    cache: Path,
    weights: str,
    gamma: float,
    gae_lambda: float,
) -> PolicyData:
    """At least `recipe.n` states in whole episodes, from the cache where they were played before.

    Args:
        recipe: placement, levels, settings and number of states.
        policy: the policy that plays, from frames to `(logits, value)`.
        checkpoint: its folder, which knows the scale of rewards.
        cache: folder of cached episodes.
        weights: hash of the policy's weights.
        gamma: discount of returns and advantages.
        gae_lambda: lambda of generalised advantage estimation (Schulman et al. 2016).

    Returns:
        All fields of `PolicyData` but `reference_logits`; states uint8 `[N, 64, 64, 3]`.
    """
    key = digest([_VERSION, recipe.key(weights), gamma, gae_lambda])
    path = cache / f"episodes-{key}.npz"
    fields = unpacked(path)
    if fields is None:
        scale = _reward_scale(checkpoint)
        episodes = _play(recipe, policy)
        fields = _fields(episodes, scale, gamma, gae_lambda)
        cache.mkdir(parents=True, exist_ok=True)
        write_bytes(path, packed(**fields))
    return PolicyData(**{name: torch.from_numpy(array) for name, array in fields.items()})


def _play(recipe: Recipe, policy: nn.Module) -> list[dict[str, Any]]:
    """Whole episodes, each with frames, actions, log-probabilities, values and rewards."""
    vector = shared_env(
        recipe.placements[0], recipe.settings, recipe.levels, recipe.time_limit, _ENVS, False
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    frames, _ = vector.reset(seed=recipe.seed)
    open_rows: list[dict[str, list[Any]]] = [defaultdict(list) for _ in range(_ENVS)]
    done: list[dict[str, Any]] = []
    while sum(len(e["rewards"]) for e in done) < recipe.n:
        actions, log_probs, values = _act(policy, frames, generator)
        after, rewards, ended, cut, infos = vector.step(actions)
        for i in range(_ENVS):
            row = (frames[i], actions[i], log_probs[i], values[i], float(rewards[i]))
            names = ("states", "actions", "log_probs", "values", "rewards")
            for name, value in zip(names, row, strict=True):
                open_rows[i][name].append(value)
            if ended[i] or cut[i]:
                last = _value(policy, infos["final_obs"][i]) if cut[i] else 0.0
                done.append({**open_rows[i], "last_value": last})
                open_rows[i] = defaultdict(list)
        frames = after
    return done


@torch.inference_mode()
def _act(
    policy: nn.Module, frames: np.ndarray, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits, value = policy(torch.from_numpy(frames))
    log_p = logits.log_softmax(-1)
    actions = torch.multinomial(log_p.exp(), 1, generator=generator)
    return actions[:, 0].numpy(), log_p.gather(1, actions)[:, 0].numpy(), value.numpy()


@torch.inference_mode()
def _value(policy: nn.Module, frame: np.ndarray) -> float:
    return float(policy(torch.from_numpy(frame)[None])[1])


def _fields(
    episodes: list[dict[str, Any]], scale: float, gamma: float, gae_lambda: float
) -> dict[str, np.ndarray]:
    parts = defaultdict(list)
    for number, episode in enumerate(episodes):
        rewards = np.asarray(episode["rewards"], np.float64) / scale
        values = np.append(np.asarray(episode["values"], np.float64), episode["last_value"])
        parts["returns"].append(discounted(rewards, values[-1], gamma))
        delta = rewards + gamma * values[1:] - values[:-1]
        parts["advantages"].append(discounted(delta, 0.0, gamma * gae_lambda))
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


def _reward_scale(checkpoint: Path) -> float:
    """The deviation that training divided rewards by; 1 where it is not known."""
    variance = read_header(checkpoint).reward.get("var")
    return 1.0 if variance is None else math.sqrt(variance + 1e-8)
