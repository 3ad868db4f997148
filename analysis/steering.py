"""Activation steering and patching: does a direction inside a network carry its goal?

The vector of a coin is the difference of a module's mean activation on the same states with the
coin on one side and with none (Turner et al. 2023, arXiv 2308.10248; in a maze agent arXiv
2310.08043). Added where there is no coin it should do what the coin does; its component set to the
mean without a coin should take the coin's effect away; and the whole activation taken over from the
state with the coin (patching) should bring the share of the effect that goes through the module.
Random vectors of the same norm are the control: any push that is as long may do as much. Replacing
moves each state by a length of its own, and its control moves it as far in a random direction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.probes import GoalScores, ProbeSuite, run_suite
from analysis.probes.intervals import mean_interval, quantile_interval, rate_draws
from analysis.probes.records import has_coin
from envs import DIRECTION, logits_of
from rl_slt import InputError

DRIFT = "drift"  # P(move right) - P(move left)
ADD, REPLACE, PATCH = "add", "replace", "patch"
RANDOM, RANDOM_REPLACE = "random", "random-replace"  # controls of adding and of replacing
LENGTH = "length"
COINS = "coin_rate"
OUTCOMES = {COINS: "coin_collected", "end_rate": "end_reached"}
LEAST_LEVELS = 4  # two for the vector, and two to measure a difference and its error on
Change = Callable[[Tensor], Tensor]


@contextmanager
def hooked(policy: nn.Module, module: str, change: Change) -> Iterator[nn.Module]:
    """The policy with the output of a module changed, as long as the block lasts.

    Args:
        policy: left unchanged afterwards.
        module: its name among `policy.named_modules()`.
        change: from the module's output `[B, ...]` to what stands in its place.

    Raises:
        InputError: there is no such module, or its output is no tensor.
    """
    part = part_of(policy, module)

    def hook(_: nn.Module, __: object, out: object) -> Tensor:
        if not isinstance(out, Tensor):
            raise InputError.of("module", module, "one whose output is a tensor")
        return change(out)

    handle = part.register_forward_hook(hook)
    try:
        yield policy
    finally:
        handle.remove()


def part_of(policy: nn.Module, module: str) -> nn.Module:
    """The module of that name.

    Args:
        policy: that it is a part of.
        module: its name, as in `policy.named_modules()`.

    Raises:
        InputError: there is none.
    """
    parts = {name: part for name, part in policy.named_modules() if name}
    if module not in parts:
        raise InputError.of("module", module, f"one of {', '.join(parts)}")
    return parts[module]


@torch.no_grad()
def activations(policy: nn.Module, module: str, frames: Tensor) -> Tensor:
    """A module's output `[B, ...]` on frames `[B, 64, 64, 3]`."""
    found: list[Tensor] = []
    with hooked(policy, module, lambda out: found.append(out.clone()) or out):  # type: ignore[func-returns-value]
        policy(frames)
    if len(found) != 1:
        raise InputError.of("module", module, "one that is called once for each output")
    return found[0]


@dataclass(frozen=True, eq=False)
class CoinVector:
    """The direction of a coin in a module.

    Attributes:
        module: its name.
        vector: mean activation with the coin less that without `[...]`.
        without: mean activation without a coin `[...]`.
    """

    module: str
    vector: Tensor
    without: Tensor

    def add(self, strength: float = 1.0) -> Change:
        """Add so many times the vector."""
        return lambda out: out + strength * self.vector

    def replace(self) -> Change:
        """Set the component along the vector to what it is on average without a coin."""
        unit = self.vector / self.vector.norm()
        return lambda out: out - self._along(out) * unit

    def random(self, direction: Tensor, strength: float = 1.0) -> Change:
        """Add a vector of the same norm in another direction, a unit vector."""
        push = strength * self.vector.norm() * direction
        return lambda out: out + push

    def random_replace(self, direction: Tensor) -> Change:
        """Move as far as `replace` does in another direction, a unit vector."""
        return lambda out: out - self._along(out) * direction

    def directions(self, count: int, seed: int) -> list[Tensor]:
        """Random unit vectors of the vector's shape."""
        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(self.vector.shape, generator=generator) for _ in range(count)]
        return [noise / noise.norm() for noise in drawn]

    def _along(self, out: Tensor) -> Tensor:
        """How far outputs are along the vector from the mean without a coin `[B, 1, ...]`."""
        unit = self.vector / self.vector.norm()
        along = ((out - self.without) * unit).flatten(1).sum(1)
        return along.view(-1, *[1] * unit.ndim)


def coin_vector(policy: nn.Module, module: str, scores: GoalScores, side: str) -> CoinVector:
    """The vector of a coin on one side (`left` or `right`), from every other level of the states.

    Args:
        policy: from frames to logits, or (logits, values).
        module: name of one of its modules.
        scores: states of levels; the others are left to measure on.
        side: where the coin lies.

    Raises:
        InputError: there is no such module, the coin changes nothing in it, or under 4 levels have
            room for a coin on both sides.
    """
    if scores.levels < LEAST_LEVELS:
        what = "levels with room for a coin on both sides"
        raise InputError.of(what, scores.levels, f"at least {LEAST_LEVELS}", "take more levels")
    none = activations(policy, module, scores.frames("none")[::2])
    coin = activations(policy, module, scores.frames(side)[::2])
    vector = (coin - none).mean(0)
    if not float(vector.norm()) > 0:
        raise InputError.of("module", module, "one in which a coin changes something")
    return CoinVector(module, vector, none.mean(0))


def steer_states(
    policy: nn.Module, vector: CoinVector, scores: GoalScores, side: str, *,
    strength: float = 1.0, controls: int = 8, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What steering changes in P(move right) - P(move left) on states of the levels left over.

    Args:
        policy: as in `coin_vector`.
        vector: of `coin_vector`, with the same states and side.
        scores: states of levels.
        side: where the coin lies.
        strength: times the vector that is added.
        controls: random vectors.
        seed: of these.

    Returns:
        A row for each change: `coin` (the coin itself, for comparison), `add` and `random` (the
        mean over random vectors) and `patch` on states without a coin, `replace` and
        `random-replace` (as far in random directions) on states with it; columns probe, metric
        (`drift`), change, value (mean paired difference), ci_low, ci_high (95 %, over levels; NaN
        where all changed alike), without (the mean before), n. Of controls also `least` and `most`,
        the smallest and largest mean of a single direction.
    """
    none, coin = scores.frames("none")[1::2], scores.frames(side)[1::2]
    base = {"none": drift(policy, none), "coin": drift(policy, coin)}

    def under(change: Change, frames: Tensor) -> np.ndarray:
        with hooked(policy, vector.module, change):
            return drift(policy, frames)

    with_coin = activations(policy, vector.module, coin)
    ways = vector.directions(controls, seed)
    found = {
        "coin": ("none", [base["coin"]]),
        ADD: ("none", [under(vector.add(strength), none)]),
        RANDOM: ("none", [under(vector.random(way, strength), none) for way in ways]),
        PATCH: ("none", [under(lambda out: with_coin, none)]),
        REPLACE: ("coin", [under(vector.replace(), coin)]),
        RANDOM_REPLACE: ("coin", [under(vector.random_replace(way), coin) for way in ways]),
    }
    return pd.DataFrame(
        [
            _row("states", DRIFT, change, np.stack(values), base[of])
            for change, (of, values) in found.items()
            if values
        ]
    )


def drift(policy: nn.Module, frames: Tensor) -> np.ndarray:
    """P(move right) - P(move left) on frames `[B]`."""
    with torch.no_grad():
        p = logits_of(policy(frames)).double().softmax(-1)
    return (p @ torch.from_numpy(DIRECTION).double()).numpy()


def steer_suite(
    policy: nn.Module, vector: CoinVector, suite: ProbeSuite, *,
    strength: float = 1.0, controls: int = 3, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What steering changes in rollouts, on the same levels and random numbers.

    Args:
        policy: as in `coin_vector`.
        vector: of `coin_vector`.
        suite: probes and levels.
        strength: times the vector that is added.
        controls: random vectors, each played by itself.
        seed: of action noise and random vectors.

    Returns:
        Rows as of `steer_states` for each probe, metric (`coin_rate` where there is a coin,
        `end_rate`, `length`) and change (`add`, `replace` and their controls).
    """

    def play(change: Change | None) -> pd.DataFrame:
        if change is None:
            return _played(policy, suite, seed)
        with hooked(policy, vector.module, change):
            return _played(policy, suite, seed)

    base, ways = play(None), vector.directions(controls, seed)
    found = {
        ADD: [vector.add(strength)],
        RANDOM: [vector.random(way, strength) for way in ways],
        REPLACE: [vector.replace()],
        RANDOM_REPLACE: [vector.random_replace(way) for way in ways],
    }
    asked = [
        (probe, metric)
        for probe, metric in itertools.product(suite.placements, (*OUTCOMES, LENGTH))
        if metric != COINS or has_coin(probe)
    ]
    rows = []
    for change, changes in found.items():
        plays = [play(one) for one in changes]
        for probe, metric in asked:
            if plays:
                before = base[probe, metric].to_numpy()
                after = np.stack([play[probe, metric].to_numpy() for play in plays])
                row = _row(probe, metric, change, after, before)
                if metric in OUTCOMES:  # where no level changed, it has a width all the same
                    drawn = rate_draws(np.column_stack([before, *after]))
                    spread = drawn[:, 1:].mean(1) - drawn[:, 0]
                    ends = quantile_interval(spread, float((after - before).mean()))
                    row["ci_low"], row["ci_high"] = ends
                rows.append(row)
    return pd.DataFrame(rows)


def _played(policy: nn.Module, suite: ProbeSuite, seed: int) -> pd.DataFrame:
    """Outcomes `[levels, (probe, metric)]`."""
    table = run_suite(policy, suite, seed=seed, blind_paths=False).set_index("level_seed")
    columns = {}
    for probe, part in table.groupby("probe"):
        for metric, outcome in OUTCOMES.items():
            columns[probe, metric] = part[outcome].astype(float)
        columns[probe, LENGTH] = part["length"].astype(float)
    return pd.DataFrame(columns)


def _row(
    probe: str, metric: str, change: str, after: np.ndarray, before: np.ndarray
) -> dict[str, object]:
    """A row of what was measured `[directions, levels]` after a change and before it."""
    differences, each = (after - before).mean(0), (after - before).mean(1)
    # Where all levels changed alike nothing tells how much another would.
    low, high = mean_interval(differences)
    ends = (each.min(), each.max()) if change in (RANDOM, RANDOM_REPLACE) else (np.nan, np.nan)
    return {
        "probe": probe, "metric": metric, "change": change, "value": float(differences.mean()),
        "ci_low": low, "ci_high": high, "without": float(before.mean()), "n": len(differences),
        "least": ends[0], "most": ends[1],
    }  # fmt: skip


def describe_steering(table: pd.DataFrame) -> list[str]:
    """A table of `steer_states` and `steer_suite` in lines.

    Args:
        table: rows of both.
    """
    lines = []
    for row in table.to_dict("records"):
        apart, ends = "", "(all levels changed alike)" if row["value"] else "(no level changed)"
        if row["least"] == row["least"]:
            apart = f"; single directions {row['least']:+.2f} to {row['most']:+.2f}"
        if row["ci_low"] == row["ci_low"]:
            ends = f"[{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
        lines.append(
            f"{row['probe']:<9} {row['metric']:<9} {row['change']:<14} {row['value']:+.2f} "
            f"{ends} from {row['without']:+.2f}{apart}"
        )
    return lines
