"""The map of level seeds: which levels exist, who uses which, and levels promised as unseen.

Procgen makes a level from its seed, an integer from 0 to 2^31 - 2. Ranges are half-open pairs.

| range | used by |
| --- | --- |
| a study's `levels` (None is all) | training, and the states of its own levels |
| `EVALUATION_LEVELS` | evaluation during training |
| `PROBE_LEVELS` | probes, clips (`CLIP_LEVEL`) and the states named after a probe |
| `FROZEN_LEVELS` | states that no agent is trained or probed on: frozen sets, comparisons |
"""

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from rl_slt import InputError

Levels = tuple[int, int]
Seed = int | Sequence[int]

N_LEVELS = 2**31 - 1
"""Level seeds are below this."""
ALL_LEVELS: Levels = (0, N_LEVELS)
"""The range of all level seeds."""
EVALUATION_LEVELS: Levels = (1_000_000, 1_000_500)
"""Level seeds of evaluations during training."""
PROBE_LEVELS: Levels = (2_000_000_000, 2_100_000_000)
"""Level seeds of probes, far above any training range that one would type."""
FROZEN_LEVELS: Levels = (2_110_000_000, 2_110_100_000)
"""Level seeds of the frozen states of LLCs."""
CLIP_LEVEL = PROBE_LEVELS[0]
"""Level seed of clips and pictures where none is given."""


def parse_levels(levels: str | Levels | None, name: str = "levels") -> Levels | None:
    """A half-open range of level seeds from a pair or `A:B`; None and `all` are unlimited.

    Args:
        levels: the range.
        name: of the setting, for the message.

    Raises:
        InputError: the range is empty or outside of procgen's.
    """
    if levels is None or (isinstance(levels, str) and levels == "all"):
        return None
    if isinstance(levels, str):
        match = re.fullmatch(r"(\d+):(\d+)", levels.strip())
        pair: tuple[int, ...] = (int(match[1]), int(match[2])) if match else ()
    else:
        pair = tuple(levels) if hasattr(levels, "__len__") else ()
    integers = all(isinstance(end, Integral) for end in pair)
    if len(pair) != 2 or not integers or not 0 <= pair[0] < pair[1] <= N_LEVELS:
        allowed = f"all, or a range A:B with 0 <= A < B <= {N_LEVELS}"
        raise InputError.of(name, levels, allowed)
    return int(pair[0]), int(pair[1])


def check_seed(seed: object, num: int = 0) -> Any:
    """A seed of sequences of levels as Python's integer, or a list of `num` of them.

    Args:
        seed: an integer, also of numpy, or a sequence of them.
        num: how many a sequence must have; 0 allows none.

    Raises:
        InputError: one is no integer from 0 to 2^31 - 1, or there is another number of them.
    """
    allowed = f"an integer from 0 to {N_LEVELS}" + (f", or {num} of them" if num else "")
    listed = seed.tolist() if hasattr(seed, "tolist") else seed
    several = num > 0 and isinstance(listed, list | tuple)
    seeds: Any = listed if several else [listed]
    fine = [isinstance(one, Integral) and type(one) is not bool for one in seeds]
    if not all(fine) or any(not 0 <= one <= N_LEVELS for one in seeds):
        raise InputError.of("seed", listed, allowed)
    if several and len(seeds) != num:
        raise InputError.of("seed", listed, allowed)
    return [int(one) for one in seeds] if several else int(seeds[0])


def check_held_out(training: str | Levels | None, held_out: str | Levels) -> None:
    """Check that no level of `held_out` is among the `training` levels.

    Args:
        training: range of level seeds, as text or ends; None is all levels.
        held_out: range of level seeds that training must not have.

    Raises:
        InputError: the two ranges share a level.
    """
    train, test = parse_levels(training), parse_levels(held_out)
    if train is None or test is None or (train[0] < test[1] and test[0] < train[1]):
        seen = "all" if train is None else f"{train[0]}:{train[1]}"
        raise InputError.of(
            "levels", held_out, f"held out: they overlap the training levels, {seen}"
        )
