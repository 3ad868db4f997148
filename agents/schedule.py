"""At which environment steps a training leaves checkpoints."""

import math

from rl_slt import InputError

SCHEDULES = "log:N, linear:N, every:STEPS, all or list:A,B,..."
"""The forms of a checkpoint schedule, for messages and help."""


def parse_schedule(text: str) -> tuple[str, list[int]]:
    """Split a schedule's text into its kind and its numbers.

    Raises:
        InputError: not one of `log:N`, `linear:N`, `every:STEPS`, `all`, `list:A,B,...`.
    """
    kind, _, rest = text.partition(":")
    try:
        numbers = [int(part) for part in rest.split(",")] if rest else []
    except ValueError:
        numbers = [-1]
    counts = {"log": 1, "linear": 1, "every": 1, "all": 0}
    good = len(numbers) >= 1 if kind == "list" else counts.get(kind) == len(numbers)
    low = 2 if kind in ("log", "linear") else (0 if kind == "list" else 1)
    if not good or any(number < low for number in numbers):
        raise InputError.of("checkpoints", text, SCHEDULES)
    return kind, numbers


def checkpoint_steps(text: str, total: int, rollout: int) -> list[int]:
    """Steps to checkpoint: multiples of `rollout`, where the policy changes; 0 and `total` always.

    `log:N` gives N different steps where that many exist: 0 and N - 1 steps whose ratios are as
    even as whole rollouts allow (the earliest are then next to each other). `linear:N` is evenly
    spaced. A listed step moves to the next whole rollout.

    Args:
        text: the schedule.
        total: the last step, a multiple of `rollout`.
        rollout: environment steps between two updates of the policy.
    """
    kind, numbers = parse_schedule(text)
    last = total // rollout
    if kind == "all":
        units = set(range(last + 1))
    elif kind == "every":
        units = set(range(0, last + 1, max(1, round(numbers[0] / rollout))))
    elif kind == "list":
        units = {min(last, -(-number // rollout)) for number in numbers}
    elif kind == "linear":
        units = {round(i * last / (numbers[0] - 1)) for i in range(numbers[0])}
    else:
        units = set(_log_units(numbers[0] - 1, last))
    return [unit * rollout for unit in sorted(units | {0, last})]


def _log_units(count: int, last: int) -> list[int]:
    """`count` different whole numbers from 1 to `last`, as evenly spaced in log as they can be.

    Each next one is a geometric step towards `last`, at least one up.
    """
    units = [1] if last >= 1 and count > 1 else []
    while units and units[-1] < last and len(units) < count:
        left = count - len(units)
        ratio = math.exp(math.log(last / units[-1]) / left)
        units.append(min(last, max(units[-1] + 1, round(units[-1] * ratio))))
    return units
