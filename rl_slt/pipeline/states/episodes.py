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

from agents import read_header
from rl_slt import PolicyData
from rl_slt.pipeline.disk.store import digest
from rl_slt.pipeline.states.rollouts import ENVS, cached, rollout, shared_env
from rl_slt.pipeline.states.state_sets import StateSetSpec


def collect_episodes(
    spec: StateSetSpec,
    policy: nn.Module,
    checkpoint: Path,
    cache: Path,
    weights: str,
    gamma: float,
    gae_lambda: float,
) -> PolicyData:
    """At least `spec.n` states in whole episodes, from the cache where they were played before.

    Args:
        spec: placement, levels, settings and number of states.
        policy: the policy that plays, from frames to `(logits, value)`.
        checkpoint: its folder, which knows the scale of rewards.
        cache: folder of cached episodes.
        weights: hash of the policy's weights.
        gamma: discount of returns and advantages.
        gae_lambda: lambda of generalized advantage estimation (Schulman et al. 2016, equation 16).

    Returns:
        All fields of `PolicyData` but `reference_logits`; states uint8 `[N, 64, 64, 3]`.
    """
    key = digest([spec.key(weights, "episodes"), gamma, gae_lambda])

    def play() -> dict[str, np.ndarray]:
        return _fields(_play(spec, policy), _reward_scale(checkpoint), gamma, gae_lambda)

    arrays = cached(cache / f"episodes-{key}.npz", play)
    return PolicyData(**{name: torch.from_numpy(array) for name, array in arrays.items()})


@torch.inference_mode()
def _play(spec: StateSetSpec, policy: nn.Module) -> list[dict[str, Any]]:
    """Whole episodes, each with frames, actions, log-probabilities, values and rewards."""
    vector = shared_env(
        spec.placements[0], spec.settings, spec.levels, spec.time_limit, track=False
    )
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
