"""Permutation tests over runs: the training seed is the sample, and agents are permuted jointly.

One table of arrangements serves all tests of one design, so that the dependence between their
statistics is kept: the step-down max-T procedure of Westfall & Young (1993, algorithm 2.8; Ge,
Dudoit & Speed 2003, box 2) then holds the familywise error without Bonferroni's price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, product
from math import factorial, prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

Array = npt.NDArray[np.float64]
Orders = npt.NDArray[np.int_]
Direction = Literal["greater", "less", "two-sided"]
MIN_RUNS = 5  # no p-value below
MOST = 2000  # arrangements, the observed one among them
TOLERANCE = 1e-9  # within which two statistics in standard deviations are tied


@lru_cache(maxsize=64)
def arrangements(
    strata: tuple[Hashable, ...],
    labels: tuple[Hashable, ...] | None = None,
    most: int = MOST,
    seed: int = 0,
) -> Orders:
    """Orders of runs permuted within strata, `[b, runs]`, the observed one first.

    All of them where they are at most `most`, else the observed one and `most - 1` drawn, so that
    `p = mean(statistic >= observed)` is `(1 + exceedances) / (1 + B)`: valid, never 0.

    Args:
        strata: of each run; runs change places within their stratum only.
        labels: of each run, where an order counts only by the runs that get each label: all
            distinct assignments of labels are then listed once.
        most: arrangements in all.
        seed: of the draws.
    """
    kinds = labels or tuple(range(len(strata)))  # without labels every run is its own kind
    first = {kind: i for i, kind in reversed(list(enumerate(kinds)))}
    groups = [
        sorted((i for i, s in enumerate(strata) if s == stratum), key=lambda i: first[kinds[i]])
        for stratum in dict.fromkeys(strata)
    ]  # places of a stratum, those of one kind together
    sizes = [list(Counter(kinds[i] for i in g).values()) for g in groups]
    count = prod(factorial(sum(s)) // prod(map(factorial, s)) for s in sizes)
    out = np.empty((min(count, most), len(strata)), dtype=int)
    places = np.concatenate(groups)
    if count <= most:
        every = product(*(list(_splits(tuple(g), s)) for g, s in zip(groups, sizes, strict=True)))
        out[:, places] = [sum(parts, ()) for parts in every]
    else:
        rng = np.random.default_rng(seed)
        drawn = [rng.permuted(np.tile(g, (most, 1)), axis=1) for g in groups]
        out[:, places] = np.concatenate(drawn, axis=1)
        out[0] = np.arange(len(strata))
    out.flags.writeable = False  # shared by all tests of the design
    return out


def spread(null: Array) -> float:
    """The standard deviation by which tests of one statistic are compared.

    Of the permutation distribution, its root mean square over the tests: with a scale of its own, a
    test whose variance lies in a few runs could never stand out, and its power would be lost.

    Args:
        null: values over arrangements, `[b]` or `[b, tests]`.

    Returns:
        NaN where nothing varies.
    """
    values = np.where(np.isfinite(null), null, np.nan).reshape(len(null), -1)
    known = values[:, np.isfinite(values[0])]
    if not known.size:
        return np.nan
    size = float(np.sqrt(np.mean(np.nanvar(known, axis=0))))
    return size if size > 1e-9 * max(1.0, float(np.nanmax(np.abs(known)))) else np.nan


def extremes(null: Array, direction: Direction, center: npt.ArrayLike | None = None) -> Array:
    """How extreme each value is, in standard deviations (`spread`) of the permutations.

    Args:
        null: values over arrangements, the observed one first, `[b]` of one test or `[b, tests]`
            of several with the same statistic.
        direction: `greater`, `less`, or `two-sided`: the distance from the center.
        center: of each test, NaN or left out the mean of its arrangements.

    Returns:
        Of the same shape; NaN where the observed statistic is, or nothing can be permuted; 0 where
        it is the same in all arrangements.
    """
    values = np.where(np.isfinite(null), null, np.nan)
    missing = np.isnan(values[0]) | (len(values) < 2)
    values = np.where(missing, 0.0, values)
    constant = np.nanmax(values, axis=0) - np.nanmin(values, axis=0) < 1e-9
    scale = spread(null)
    mean = np.nanmean(values, axis=0)
    middle = mean if center is None else np.where(np.isnan(center), mean, center)
    z = (values - middle) / (scale if scale > 0 else 1.0)
    z = np.where(constant, 0.0, z)
    z = {"greater": z, "less": -z, "two-sided": np.abs(z)}[direction]
    z = np.nan_to_num(z, nan=np.inf)  # an undefined value counts against a finding
    return np.asarray(np.where(missing, np.nan, z))


def p_value(null: Array, direction: Direction) -> float:
    """Share of arrangements at least as extreme as the observed one, which is the first."""
    z = extremes(null, direction)
    return float(np.mean(z >= z[0] - TOLERANCE)) if np.isfinite(z[0]) else np.nan


def step_down(blocks: Sequence[Array]) -> list[Array]:
    """Adjusted p-values of one family of tests by the step-down max-T procedure.

    `p_j = P(max over the tests not yet passed >= z_j)`, over the same arrangements, made monotone.
    Blocks are sets of tests with arrangements of their own and count as independent: then the
    chance of no exceedance is the product over blocks. Whatever their dependence, by Bonferroni's
    inequality the familywise error at 5 % is at most -log(0.95) = 5.13 %.

    Args:
        blocks: of `extremes`, `[b, tests]` each; the observed arrangement first.

    Returns:
        Adjusted p-values of each block, `[tests]`.
    """
    observed = np.concatenate([block[0] for block in blocks])
    order = np.argsort(-observed, kind="stable")
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    none_beyond = np.ones(len(order))
    begin = 0
    for block in blocks:
        mine = np.sort(rank[begin : begin + block.shape[1]])  # steps at which its tests are due
        left = block[:, order[mine] - begin]
        left = np.maximum.accumulate(left[:, ::-1], axis=1)[:, ::-1]  # max over those not passed
        for step, first in enumerate(np.searchsorted(mine, np.arange(len(order)))):
            if first < len(mine):
                passed = left[:, first] >= observed[order[step]] - TOLERANCE
                none_beyond[step] *= 1.0 - np.mean(passed)
        begin += block.shape[1]
    beyond = np.round(1.0 - none_beyond, 12)  # 1 - (1 - 0.05) is above 0.05
    adjusted = np.maximum.accumulate(beyond)[rank]
    return np.split(adjusted, np.cumsum([block.shape[1] for block in blocks])[:-1])


def smallest_p(blocks: Sequence[Array]) -> float:
    """The smallest adjusted p-value that any result of a family could have.

    Two-sided tests, equal values and a correction make it larger than one over the arrangements.

    Args:
        blocks: as for `step_down`.
    """
    top = max(float(block.max()) for block in blocks)
    return 1.0 - prod(float(np.mean(block.max(axis=1) < top - TOLERANCE)) for block in blocks)


def corrected(nulls: Mapping[Any, Mapping[int, Array]], direction: Direction) -> dict[int, float]:
    """Adjusted p-values of one statistic over several sets of runs, by row of a table.

    Args:
        nulls: by set of runs, then by row: values over arrangements, `[b]`.
        direction: in which a value counts as extreme.
    """
    if not nulls:
        return {}
    blocks = [extremes(np.column_stack([*of.values()]), direction) for of in nulls.values()]
    rows = [row for of in nulls.values() for row in of]
    return dict(zip(rows, map(float, np.concatenate(step_down(blocks))), strict=True))


def levels(nulls: Mapping[Any, Mapping[int, Array]], direction: Direction) -> dict[int, float]:
    """The share of its own arrangements in which each test of a family would be found at 5 %.

    Args:
        nulls: as for `corrected`.
        direction: as there.

    Returns:
        By row; 0 where no arrangement is extreme enough.
    """
    blocks = [extremes(np.column_stack([*of.values()]), direction) for of in nulls.values()]
    limit = critical_value(blocks) if blocks else np.nan
    shares = [np.mean(block >= limit - TOLERANCE, axis=0) for block in blocks]
    rows = [row for of in nulls.values() for row in of]
    return dict(zip(rows, map(float, np.concatenate(shares or [[]])), strict=True))


def critical_value(blocks: Sequence[Array], level: float = 0.05) -> float:
    """The value of `extremes` from which on a test of the family is found at that level.

    Args:
        blocks: as for `step_down`; one block of one test is a test on its own.
        level: familywise.

    Returns:
        NaN where no arrangement is extreme enough: the design cannot find anything at that level.
    """
    largest = [np.sort(block.max(axis=1)) for block in blocks]
    found = np.nan
    for value in np.unique(np.concatenate(largest))[::-1]:
        none = prod(np.searchsorted(m, value - TOLERANCE) / len(m) for m in largest)
        if 1.0 - none > level + 1e-12:
            break
        found = float(value)
    return found


def mean_of_table(table: Array) -> Callable[[Orders], Array]:
    """Statistic: mean over runs i of `table[i, partner of i]`, NaN entries left out."""
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    runs = np.arange(len(table))

    def statistic(order: Orders) -> Array:
        count = known[runs, order].sum(axis=1)
        total = filled[runs, order].sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    return statistic


def q_values(p_values: pd.Series) -> pd.Series:
    """False discovery rate of exploratory tests (Benjamini & Hochberg 1995).

    It holds under independence and positive dependence; a missing p-value is no test and has none.
    """
    out = p_values.astype("float64")
    known = out.notna()
    if known.any():
        out[known] = false_discovery_control(out[known].to_numpy(), method="bh")
    return out


def _splits(items: tuple[int, ...], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to fill places of those sizes with the items, the given order first."""
    if not sizes:
        yield ()
        return
    for chosen in combinations(items, sizes[0]):
        rest = tuple(i for i in items if i not in chosen)
        for more in _splits(rest, sizes[1:]):
            yield chosen + more
