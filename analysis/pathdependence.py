"""Does an early value already show the final goal? Over seeds, against chance."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.permutations import (
    MIN_RUNS,
    TOLERANCE,
    arrangements,
    corrected,
    extremes,
    p_value,
    q_values,
    spread,
)
from analysis.power import POWER
from analysis.schema import own_columns
from analysis.series import arms_of_runs, llc_series, probe_series
from rl_slt import InputError

Array = npt.NDArray[np.float64]
LAST = 3  # checkpoints at the end of training that make the final goal
MOST = 5000  # arrangements of final goals
LEVEL = 0.05
_SIMULATED = 60  # early values of each separation
_COMPARED = 1000  # arrangements of each, at most
_SIZES = (0.25, 16.0, 25)  # separations, a quarter octave apart


def path_dependence(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    probe: str,
    metric: str,
    *,
    cut: float | None = None,
    within_arms: bool = True,
) -> pd.DataFrame:
    """How well an early LLC or probe predicts on which side of `cut` a run's goal ends up.

    Leave one run out: it is given the class whose mean, over the other runs, its early value is
    nearer to. Chance is the mean accuracy when final goals are permuted within arms; the p-value is
    the share of permutations that do as well.

    Args:
        llc: table `llc`; its column `arm` (or that of `probes`) says which runs repeat one
            condition.
        probes: table `probes`.
        probe: whose final value is the goal.
        metric: of that probe.
        cut: value between the two goals; by default the middle of the largest gap.
        within_arms: permute within arms only, so that knowing the arm does not help.

    Returns:
        One row per feature (`llc:SERIES`, `probe:PROBE:METRIC`) and step, the last `LAST`
        checkpoints of each run left out, since they make its final goal: accuracy, chance, p_value
        (from 5 runs on), p_adjusted (for all features and steps together: step-down max-T over the
        same permutations, Westfall & Young 1993), q_value (Benjamini & Hochberg over the table,
        exploratory), smallest_effect (see `smallest_separation`), n (runs), cut, note.

    Raises:
        InputError: if the probe and metric are not in the table.
    """
    x, y = llc_series(llc), probe_series(probes)
    known = y[(y["probe"] == probe) & (y["metric"] == metric)].dropna(subset=["value"])
    known = known.sort_values("step").groupby("run").tail(LAST)
    goal, begin = known.groupby("run")["value"].mean(), known.groupby("run")["step"].min()
    if goal.empty:
        raise InputError.of("probe", f"{probe}/{metric}", "a probe and metric in the table")
    if cut is None:
        order = np.sort(goal)
        gap = int(np.argmax(np.diff(order, append=order[-1])))
        cut = float(order[gap : gap + 2].mean())
    x["feature"] = "llc:" + x["series"]
    y["feature"] = "probe:" + y["probe"] + ":" + y["metric"]
    arms = arms_of_runs(llc, probes)
    rows: list[dict[str, object]] = []
    nulls: dict[tuple[str, ...], dict[int, Array]] = {}  # by runs, then by row of the table
    for name, values in (group for table in (x, y) for group in table.groupby("feature")):
        table = values.pivot_table(index="run", columns="step", values="value")
        for step in table:
            early = table[step].dropna()
            # what makes a run's goal tells it without any path dependence
            runs = sorted(r for r in early.index if step < begin.get(r, -np.inf))
            if not runs:
                continue
            row = _accuracy(early[runs].to_numpy(float), goal[runs].to_numpy(float) > cut,
                         [arms[r] if within_arms else "" for r in runs])  # fmt: skip
            if "null" in row:
                nulls.setdefault(tuple(runs), {})[len(rows)] = row.pop("null")
            rows.append({"feature": name, "step": step} | row)
    columns = own_columns("path_dependence")
    frame = pd.DataFrame(rows, columns=columns).assign(probe=probe, metric=metric, cut=cut)
    adjusted = pd.Series(corrected(nulls, "greater"), dtype="float64").reindex(frame.index)
    power = {
        row: size
        for of, tests in nulls.items()
        for size in [
            smallest_separation(
                goal[[*of]].to_numpy() > cut,
                tuple(arms[r] if within_arms else "" for r in of),
                np.column_stack([*tests.values()]),
            )
        ]
        for row in tests
    }
    found = pd.Series(power, dtype="float64").reindex(frame.index)
    q = q_values(frame["p_value"])
    return frame.assign(p_adjusted=adjusted, q_value=q, smallest_effect=found)


def smallest_separation(
    goals: npt.NDArray[np.bool_], strata: tuple[str, ...], family: Array
) -> float:
    """How far apart one more early value of the two kinds of runs must be to be found with 80 %.

    Args:
        goals: which kind each run is of, `[n]`.
        strata: within which runs are permuted, of each.
        family: accuracies of the early values that it is corrected with, over all arrangements of
            those strata, `[b, tests]`.

    Returns:
        In standard deviations within a kind, by simulation of Gaussian values; NaN where none is
        large enough.
    """
    size = spread(family)
    if not size > 0.0:
        return np.nan
    rng, every = np.random.default_rng(0), arrangements(strata, most=MOST)
    rows = np.append(0, rng.permutation(len(every) - 1)[:_COMPARED] + 1)
    others = extremes(family, "greater").max(axis=1)[rows]
    permuted, noise = goals[every[rows]], rng.standard_normal((_SIMULATED, len(goals)))

    def passes(early: Array) -> bool:
        null = left_out_accuracy(early, permuted)
        z = np.maximum((null - null.mean()) / size, others)
        own = (null[0] - null.mean()) / size
        return float(np.mean(z >= own - TOLERANCE)) <= LEVEL

    def found(apart: float) -> float:
        return float(np.mean([passes(early + apart * goals) for early in noise]))

    sizes = np.geomspace(*_SIZES)
    least = bisect_left(sizes, POWER, key=found)
    return float(sizes[least]) if least < len(sizes) else np.nan


def left_out_accuracy(early: Array, goals: npt.NDArray[np.bool_]) -> Array:
    """Share of runs put into their class by the nearer mean of the other runs.

    A tie, or a class with no other run, counts half.

    Args:
        early: value of each run, `[n]`.
        goals: class of each run, `[b, n]`, b times.

    Returns:
        `[b]`.
    """
    distance = []
    for side in (False, True):
        mask = (goals == side).astype(float)
        count = mask.sum(axis=1, keepdims=True) - mask
        total = (mask @ early)[:, None] - mask * early
        apart = np.abs(early - total / np.maximum(count, 1.0))
        distance.append(np.where(count > 0, apart, np.nan))
    closer = distance[0] - distance[1]
    right = np.where(goals, closer > 0, closer < 0).astype(float)
    right[~np.isfinite(closer) | (np.abs(closer) < 1e-12)] = 0.5
    return np.asarray(right.mean(axis=1))


def _accuracy(early: Array, goal: npt.NDArray[np.bool_], arms: list[str]) -> dict[str, Any]:
    n = len(early)
    empty = {"accuracy": np.nan, "chance": np.nan, "p_value": np.nan, "n": n}
    if n < MIN_RUNS:
        return empty | {"note": f"too few runs to show it: needs {MIN_RUNS} runs, has {n}"}
    if goal.all() or not goal.any():
        return empty | {"note": "all runs end with the same goal"}
    if all(len(set(goal[np.asarray(arms) == arm])) == 1 for arm in set(arms)):
        accuracy = float(left_out_accuracy(early, goal[None])[0])
        return empty | {"accuracy": accuracy, "note": "the arm alone tells the goal"}
    null = left_out_accuracy(early, goal[arrangements(tuple(arms), most=MOST)])
    return {"accuracy": float(null[0]), "chance": float(null.mean()), "n": n, "note": "",
            "p_value": p_value(null, "greater"), "null": null}  # fmt: skip
