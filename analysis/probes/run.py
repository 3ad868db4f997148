"""Plays a suite: the policy on every probe, and the baselines on the same levels and noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from analysis.probes.actors import Actor, NetworkActor, RandomActor, ReplayActor, Turn
from analysis.probes.rollout import NUM_ENVS, play, shared_noise
from analysis.probes.scripted import BlindActor, SeekerActor
from analysis.probes.suite import ProbeSuite, control_of
from analysis.schema import conform, empty
from envs.errors import InputError

Progress = Callable[[int, int], None]
_NOOP = 4
# With how many environments at once; the seeker plans for each alone, also for those done.
BASELINES: dict[str, tuple[Callable[[], Actor], int]] = {
    "coin-blind": (BlindActor, NUM_ENVS),
    "random": (RandomActor, NUM_ENVS),
    "coin-seeker": (SeekerActor, 8),
}


def run_suite(
    policy: torch.nn.Module,
    suite: ProbeSuite,
    *,
    seed: int,
    policy_name: str = "agent",
    run: str = "",
    step: int | None = None,
    num_envs: int = NUM_ENVS,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Plays every probe of a suite with a network, one episode per level and probe.

    The random numbers behind the actions are fixed by `seed`, level and time step: probes,
    policies and baselines share them, and a probe comes out the same whichever others run.

    Args:
        policy: from uint8 frames `[B, 64, 64, 3]` to logits `[B, 15]` or (logits, values).
        suite: probes, levels and limits.
        seed: of the action noise.
        policy_name: for the column policy.
        run: for the column run.
        step: environment steps of training behind this policy.
        num_envs: environments at once.
        progress: called with probes done and probes in all.

    Returns:
        The table `episodes`, with a further column blind_first: what the policy would have
        reached first, had it not seen the displaced coin (see `score_episodes`).
    """
    return run_actor(
        NetworkActor(policy, suite.mode), suite, seed=seed, policy_name=policy_name, run=run,
        step=step, num_envs=num_envs, progress=progress,
    )  # fmt: skip


def run_actor(
    actor: Actor,
    suite: ProbeSuite,
    *,
    seed: int,
    policy_name: str = "agent",
    run: str = "",
    step: int | None = None,
    num_envs: int = NUM_ENVS,
    blind_paths: bool = True,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """`run_suite` for anything that chooses actions; `blind_paths=False` leaves blind_first out."""
    noise = shared_noise(suite, seed)
    controls = {control_of(p) for p in suite.placements if blind_paths}
    taken: dict[str, NDArray[np.int8]] = {}
    parts = []
    # Controls first: their actions are replayed where the coin lies.
    order = sorted(suite.placements, key=lambda p: p not in controls)
    for done, placement in enumerate(order, start=1):
        record = _Record(noise.shape)
        frame = play(actor, placement, suite, noise, num_envs=num_envs, watch=record)
        if placement in controls:
            taken[placement] = record.actions
        frame["blind_first"] = _blind_first(placement, suite, noise, taken, num_envs)
        parts.append(frame.assign(probe=placement, placement=placement))
        if progress is not None:
            progress(done, len(order))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(run=run, step=step, policy=policy_name, mode=suite.mode)
    table["blind_first"] = table["blind_first"].astype("string")
    return conform("episodes", table)


class _Record:
    """Keeps the actions taken on each level, `[levels, T]`; no-op where none was taken."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.actions = np.full(shape, _NOOP, dtype=np.int8)

    def __call__(self, turn: Turn, actions: NDArray[np.int64]) -> None:
        self.actions[turn.level, turn.t] = actions


def _blind_first(
    placement: str,
    suite: ProbeSuite,
    noise: NDArray[np.float64],
    taken: dict[str, NDArray[np.int8]],
    num_envs: int,
) -> Any:
    """What the actions taken without the displaced coin reach first when it is there."""
    control = control_of(placement)
    if control not in taken:
        return None
    replay = ReplayActor(taken[control])
    return play(replay, placement, suite, noise, num_envs=num_envs)["first"]


def run_baselines(
    suite: ProbeSuite,
    seed: int,
    *,
    policies: Sequence[str] = tuple(BASELINES),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Coin-blind, random and coin-seeking episodes on the suite's levels and random numbers.

    The table `episodes` without step. It depends on suite and seed alone: keep it for all
    checkpoints. Scripted policies have no greedy mode; the rows carry the suite's mode so that
    they are found beside the agent's.

    Raises:
        InputError: for an unknown baseline.
    """
    unknown = [name for name in policies if name not in BASELINES]
    if unknown:
        raise InputError(f"unknown baseline {unknown[0]!r}; allowed: {', '.join(BASELINES)}")
    size, parts = len(suite.placements), []
    for index, name in enumerate(policies):

        def report(done: int, _: int, before: int = index * size) -> None:
            if progress is not None:
                progress(before + done, len(policies) * size)

        actor, num_envs = BASELINES[name]
        parts.append(run_actor(actor(), suite, seed=seed, policy_name=name, num_envs=num_envs,
                               blind_paths=False, progress=report))  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else empty("episodes")
