"""Differences between two arms: over seeds, or of the two agents where each arm has one.

The unit of a statement about arms is the training seed. Two agents of one seed each can only be
compared as what they are, two agents; what else differs between two seeds of one arm is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis.probes import OUTCOMES, crossed_interval, quantile_interval, rate_draws
from analysis.report import queries
from analysis.report.data import StudyData
from analysis.report.seed_means import ANY, SHARE, Z95, Bounds

AGENTS, ARMS = "these two agents", "arms"


@dataclass(frozen=True)
class Difference:
    """A quantity of the second arm less that of the first, with its 95 % interval (or NaN).

    `unit` is what the interval is about: `these two agents` or `arms`, or empty where one arm has a
    single seed and the other several; `seeds` are those of both.
    """

    value: float
    low: float
    high: float
    unit: str
    seeds: tuple[int, int]

    def text(self, digits: int) -> str:
        """`these two agents: +0.69 [+0.60, +0.78]`; says why there is no interval."""
        value = f"{self.value:+.{digits}f}"
        if not self.unit:
            return "one arm has a single seed, so no statement"
        over = f"{self.unit} over {self.seeds[0]} and {self.seeds[1]} seeds"
        ends = f" [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"
        if math.isnan(self.low):
            ends = " [no interval]"
        return f"{self.unit if self.unit == AGENTS else over}: {value}{ends}"


def probe_difference(data: StudyData, a: str, b: str, probe: str) -> Difference | None:
    """A probe's main metric at the last checkpoints, arm b less arm a; None where one has none.

    All agents play the same levels, and agents of one seed began alike. So where both arms have
    the same seeds, the change from one agent to the other is taken on each level, and seeds and
    levels are the two samples that its mean is over (`crossed_interval`). Else, or without
    episodes, arms are compared by Welch's interval over seeds.

    Of two agents whole levels are reweighted (`rate_draws`), so what both do on a level stays
    paired. Without their episodes the intervals of both shares are joined as if they played
    different levels (MOVER; Zou & Donner 2008, Stat. Med. 27, 1693).
    """
    rows = queries.last_rows(queries.main_probe_rows(data))
    one, two = ((rows[(rows["arm"] == arm) & (rows["probe"] == probe)]) for arm in (a, b))
    one, two = (part.dropna(subset=["value"]) for part in (one, two))
    errors = [(part["ci_high"] - part["ci_low"]).astype(float) / (2.0 * Z95) for part in (one, two)]
    if len(changes := _paired_changes(data, one, two)) > 1 and np.ptp(changes) > 0:
        return Difference(float(changes.mean()), *_within(crossed_interval(changes), SHARE), ARMS,
                          (len(one), len(two)))  # fmt: skip
    if found := _over_seeds(one["value"], two["value"], SHARE, errors):
        return found
    if one.empty or two.empty:
        return None
    first, second = one.iloc[0], two.iloc[0]
    paired = _on_the_same_levels(data, first, second)
    if len(paired):
        draws = rate_draws(paired)
        value = float(paired[:, 1].mean() - paired[:, 0].mean())
        ends = quantile_interval(draws[:, 1] - draws[:, 0], value)
    else:
        value = float(second["value"] - first["value"])
        below = [float(row["value"] - row["ci_low"]) for row in (first, second)]
        above = [float(row["ci_high"] - row["value"]) for row in (first, second)]
        ends = value - math.hypot(below[1], above[0]), value + math.hypot(above[1], below[0])
    return Difference(value, *ends, AGENTS, (1, 1))


def llc_difference(data: StudyData, a: str, b: str, states: str) -> Difference | None:
    """The LLC of the last checkpoints on a state set, arm b less arm a; None where one has none.

    Of two agents the interval is made of the errors of chains and of states together
    (`llc_stderr_total`), as if each had states of its own. On shared states both errors of states
    move together (`analysis.series.change_stderr`), so it is too wide rather than too narrow. An
    estimate without an error over states has no interval: its chains' error alone says nothing of
    other states.
    """
    rows = queries.last_rows(queries.llc_rows(data))
    rows = rows[(rows["states"] == states) & ~queries.failed(rows)].dropna(subset=["llc"])
    one, two = (rows[rows["arm"] == arm] for arm in (a, b))
    totals = [part.reindex(columns=["llc_stderr_total"]).astype(float) for part in (one, two)]
    errors = [total["llc_stderr_total"] for total in totals]
    if found := _over_seeds(one["llc"], two["llc"], ANY, errors):
        return found
    if one.empty or two.empty:
        return None
    value = float(two["llc"].iloc[0] - one["llc"].iloc[0])
    half = Z95 * math.hypot(*(error.to_numpy()[0] for error in errors))
    return Difference(value, value - half, value + half, AGENTS, (1, 1))


def _over_seeds(
    one: pd.Series, two: pd.Series, bounds: Bounds, errors: Sequence[pd.Series]
) -> Difference | None:
    """Welch's interval of the difference of means; None for two single seeds or none at all.

    It is never narrower than the values' own standard errors make it, where these are known.
    """
    a, b = (part.to_numpy(dtype=float) for part in (one, two))
    seeds = (len(a), len(b))
    if min(seeds) == 0 or seeds == (1, 1):
        return None
    value = float(b.mean() - a.mean())
    if min(seeds) == 1:
        return Difference(value, math.nan, math.nan, "", seeds)
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    spread = float(parts.sum())
    half = 0.0
    if spread > 0:
        df = spread**2 / float((parts**2 / (np.array(seeds) - 1)).sum())
        half = float(student.ppf(0.975, df)) * math.sqrt(spread)
    own = [float(np.nansum(error.to_numpy(float) ** 2)) / len(error) ** 2 for error in errors]
    half = max(half, Z95 * math.sqrt(sum(own)))
    return Difference(value, *_within((value - half, value + half), bounds), ARMS, seeds)


def _within(ends: tuple[float, float], bounds: Bounds) -> tuple[float, float]:
    """An interval of a difference of two values that have bounds."""
    most = bounds[1] - bounds[0]
    return max(ends[0], -most), min(ends[1], most)


def _paired_changes(data: StudyData, one: pd.DataFrame, two: pd.DataFrame) -> np.ndarray:
    """Second less first arm's outcome `[seeds, levels]`; empty where seeds or levels differ."""
    seed_of = {run.name: run.seed for run in data.runs}
    one, two = (part.assign(seed=part["run"].map(seed_of)).sort_values("seed")
                for part in (one, two))  # fmt: skip
    if one["seed"].tolist() != two["seed"].tolist() or one.empty or not one["seed"].is_unique:
        return np.zeros((0, 0))
    agents = [row for part in (one, two) for _, row in part.iterrows()]
    outcomes = _on_the_same_levels(data, *agents)
    if len(outcomes) < 2:
        return np.zeros((0, 0))
    return (outcomes[:, len(one) :] - outcomes[:, : len(one)]).T


def _on_the_same_levels(data: StudyData, *agents: pd.Series) -> np.ndarray:
    """Outcomes of agents on the levels that all of them played, `[levels, agents]`, 0 or 1.

    None where the metric is no outcome of an episode.
    """
    if any(str(row["metric"]) not in OUTCOMES for row in agents):
        return np.zeros((0, len(agents)))
    episodes, found = queries.played(data), []
    for row in agents:
        mine = episodes.get((row["run"], row["step"], row["probe"]), data.table("episodes").head(0))
        outcome = OUTCOMES[str(row["metric"])](mine).astype("Float64")
        found.append(pd.Series(outcome.to_numpy(), index=mine["level_seed"]))
    return pd.concat(found, axis=1, join="inner").dropna().to_numpy(dtype=float)
