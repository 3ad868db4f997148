"""Plays a suite: the policy on every probe, and the baselines on the same levels and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from analysis.probes.actors import NUM_ENVS, Actor, network_actor, scripted_actor
from analysis.probes.blind import blind_first
from analysis.probes.records import coin_at_end, starts_mid
from analysis.probes.rollout import rollout, shared_noise
from analysis.probes.suite import ProbeSuite
from analysis.schema import conform, empty
from envs import BASELINES, SCRIPTED, Scripted, Task
from rl_slt import InputError


def run_suite(
    policy: torch.nn.Module | Scripted | Actor,
    suite: ProbeSuite,
    *,
    seed: int,
    policy_name: str = "agent",
    run: str = "",
    step: int | None = None,
    num_envs: int = NUM_ENVS,
    blind_paths: bool = True,
) -> pd.DataFrame:
    """Plays every probe of a suite, one episode per level and probe.

    The random numbers behind the actions are fixed by `seed`, level and time step: probes,
    policies and baselines share them, and a probe comes out the same whichever others run.

    Args:
        policy: from uint8 frames `[B, 64, 64, 3]` to logits `[B, 15]` or (logits, values); a
            scripted policy; or anything else that chooses actions. What a network or a coin-blind
            script does in several probes alike is played once (`SharedPaths`).
        suite: probes, levels and limits.
        seed: of the action noise.
        policy_name: for the column policy.
        run: for the column run.
        step: environment steps of training behind this policy.
        num_envs: environments at once; of a scripted policy, as many as it says.
        blind_paths: whether to fill the column blind_first.

    Returns:
        The table `episodes`, with a further column blind_first: what the policy would have
        reached first, had it not seen the displaced coin (see `score_episodes`).
    """
    share, seen = isinstance(policy, torch.nn.Module), True
    if isinstance(policy, torch.nn.Module):
        actor = network_actor(policy, suite.mode)
    elif isinstance(policy, Scripted):
        actor, num_envs = scripted_actor(policy), policy.num_envs
        share, seen = not policy.reads_state, False
    else:
        actor = policy
    # Long episodes first: towards the end of a list ever fewer environments have work.
    longest = sorted(suite.placements, key=lambda p: (coin_at_end(p), starts_mid(p)))
    asked, suite = suite, suite.replace(placements=tuple(longest))
    tasks = [
        Task(p, level, suite.time_limit, seen) for p in suite.placements for level in suite.seeds
    ]
    noise = np.tile(shared_noise(suite.seeds, suite.time_limit, seed), (len(longest), 1))
    table, taken = rollout(actor, tasks, suite.settings, noise, num_envs=num_envs, share=share)
    first = blind_first(suite, table, taken) if blind_paths else [None] * len(table)
    table["blind_first"] = pd.array(first, dtype="string")
    blocks = np.array([longest.index(p) for p in asked.placements])  # in the order asked for
    rows = blocks[:, None] * suite.n_levels + np.arange(suite.n_levels)
    table = table.iloc[rows.ravel()].reset_index(drop=True)
    table = table.assign(
        probe=table["placement"], run=run, step=step, policy=policy_name, mode=suite.mode
    )
    return conform("episodes", table)


def run_baselines(
    suite: ProbeSuite,
    seed: int,
    *,
    policies: Sequence[str] = tuple(BASELINES),
) -> pd.DataFrame:
    """Coin-blind, random and coin-seeking episodes on the suite's levels and random numbers.

    It depends on suite and seed alone: keep it for all checkpoints. Scripted policies have no
    greedy mode; the rows carry the suite's mode so that they are found with the agent's.

    Args:
        suite: probes, levels and limits.
        seed: of the action noise.
        policies: names of baselines.

    Returns:
        The table `episodes`, without step.

    Raises:
        InputError: for an unknown baseline.
    """
    parts = []
    for name in policies:
        if name not in SCRIPTED:
            raise InputError.of("policies", name, f"one of {', '.join(SCRIPTED)}")
        policy = SCRIPTED[name](seed)
        parts.append(run_suite(policy, suite, seed=seed, policy_name=name, blind_paths=False))
    return pd.concat(parts, ignore_index=True) if parts else empty("episodes")
