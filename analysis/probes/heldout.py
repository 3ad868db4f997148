"""Probes must run on levels that training never saw."""

from __future__ import annotations

from dataclasses import dataclass

import envs


@dataclass(frozen=True)
class HeldOut:
    """How far the levels of a suite are apart from those of a training.

    Attributes:
        disjoint: no probe level can have been a training level.
        expected_seen: expected number of probe levels that training also drew, 0 if disjoint.
    """

    disjoint: bool
    expected_seen: float


def check_held_out(
    train_levels: tuple[int, int] | str | None,
    probe_levels: tuple[int, int],
    *,
    n_levels: int | None = None,
    train_episodes: int = 0,
) -> HeldOut:
    """Checks that probe levels lie outside the training range.

    Training on all levels cannot exclude any, so there the overlap is stated instead: of
    `n_levels` probe levels, each of `train_episodes` episodes hits one with probability
    `n_levels / (2^31 - 1)`. A million episodes meet 0.09 of 200 probe levels on average.

    Args:
        train_levels: half-open range of training level seeds; None or `all` for unlimited.
        probe_levels: half-open range of probe level seeds.
        n_levels: how many of the probe levels are played; default the whole range.
        train_episodes: episodes that training plays, for the expected overlap.

    Raises:
        InputError: if the two ranges share a level.
    """
    if envs.parse_levels(train_levels) is None:
        n = probe_levels[1] - probe_levels[0] if n_levels is None else n_levels
        return HeldOut(disjoint=False, expected_seen=n * train_episodes / envs.N_LEVELS)
    envs.check_held_out(train_levels, probe_levels)
    return HeldOut(disjoint=True, expected_seen=0.0)
