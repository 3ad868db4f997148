"""The table `associations`: every LLC series against every probe metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.associations.across import DIRECTIONS, across_runs
from analysis.associations.within import within_run
from analysis.permutations import critical_value, extremes, q_values, spread, step_down
from analysis.schema import ALL_RUNS, conform, empty
from analysis.series import arms_of_runs, llc_series, probe_series
from analysis.transitions import transition_steps

Array = npt.NDArray[np.float64]
EXTRA = {
    "lag_low": "float64", "lag_high": "float64", "note": "string", "p_adjusted": "float64",
    "smallest_effect": "float64",
}  # fmt: skip


def associate(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Do the LLC and the goal change together, more than chance allows?

    Args:
        llc: table `llc`, of one run or several; its column `arm` (or that of `probes`) says which
            runs repeat one condition.
        probes: table `probes` of the same runs.
        progress: called with (pairs done, pairs in all).

    Returns:
        Columns of `associations` and lag_low, lag_high, note, p_adjusted, smallest_effect; one row
        per run, LLC series, probe metric and statistic. In each run: `change_r` (against circular
        shifts; p-value from 20 checkpoints on), and without p-value, since what learning curves
        share by themselves cannot be told apart there, `level_r`, `lead_lag`, `curve_lag` and
        `coincidence`.
        Over runs, where run is `*`: `seed_r`, `seed_curve_r`, `seed_coincidence` and
        `seed_lead_lag` (runs permuted within arms; p-value from 5 runs on), where `p_adjusted` is
        corrected for all pairs and statistics by the step-down max-T over the same permutations
        (Westfall & Young 1993) and `smallest_effect` is the true value of `seed_r` or
        `seed_curve_r` that such studies find with 80 % at 5 %, so corrected; none is computed of
        the other statistics. `q_value` holds the false discovery rate over the table (Benjamini &
        Hochberg 1995), for exploration: it holds for independent and positively dependent tests.
        `lag` is in checkpoints, positive where the LLC moves first. A missing p-value has its
        reason in `note`.
    """
    x, y = llc_series(llc), probe_series(probes)
    arms = arms_of_runs(x, y)
    xs = _by_run(x, ["series"])
    ys = _by_run(y, ["probe", "metric"])
    pairs = sorted({(*a, *b) for a in xs for b in ys if set(xs[a]) & set(ys[b])})
    rows: list[dict[str, object]] = []
    for done, (series, probe, metric) in enumerate(pairs):
        name = {"llc_series": series, "probe": probe, "metric": metric}
        first, second = xs[series,], ys[probe, metric]
        both = {run: _join(first[run], second[run]) for run in sorted(set(first) & set(second))}
        for run, pair in both.items():
            found = within_run(pair.llc, pair.probe, pair.llc_changes, pair.probe_changes)
            rows += [{"run": run} | name | row for row in found]
        over = {"run": ALL_RUNS, "runs": tuple(both)} | name
        rows += [over | row for row in _over_runs(both, arms)]
        if progress is not None:
            progress(done + 1, len(pairs))
    if not rows:
        return empty("associations").assign(**{k: pd.Series(dtype=v) for k, v in EXTRA.items()})
    frame = pd.DataFrame(rows)
    frame["arm"] = frame["run"].map(arms | {ALL_RUNS: ALL_RUNS})
    frame["q_value"] = q_values(frame["p_value"])
    frame[["p_adjusted", "smallest_effect"]] = _corrected(frame)
    frame = frame.drop(columns=["runs", "null", "power"], errors="ignore")
    return conform("associations", frame).astype({"note": "string"})


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Step-down max-T over all tests across runs, on the same arrangements of the same runs.

    Returns:
        Columns p_adjusted and smallest_effect, the value found with 80 % by that family's limit.
    """
    out = pd.DataFrame(np.nan, frame.index, ["p_adjusted", "smallest_effect"])
    tested = frame[(frame["run"] == ALL_RUNS) & frame["p_value"].notna()]
    blocks = []
    middles, scales = (pd.Series(np.nan, frame.index) for _ in range(2))
    for _, rows in tested.groupby("runs"):
        tables, index = [], []
        for statistic, same in rows.groupby("statistic"):
            nulls = np.column_stack([*same["null"]])
            tables.append(extremes(nulls, DIRECTIONS[str(statistic)]))
            middles[same.index], scales[same.index] = np.nanmean(nulls), spread(nulls)
            index += [*same.index]
        blocks.append((index, np.hstack(tables)))
    if not blocks:
        return out
    reach = critical_value([z for _, z in blocks])
    for (index, _), adjusted in zip(blocks, step_down([z for _, z in blocks]), strict=True):
        out.loc[index, "p_adjusted"] = adjusted
    told = tested[tested["power"].notna()]
    limits = (middles + reach * scales)[told.index]
    out.loc[told.index, "smallest_effect"] = [
        of(limit) for of, limit in zip(told["power"], limits, strict=True)
    ]
    return out


@dataclass(frozen=True)
class _Series:
    """One series of one run by step, `[n]`, and the steps of its transitions."""

    steps: Array
    values: Array
    changes: Array


@dataclass(frozen=True)
class _Pair:
    """Two series of one run where both are known, `[n]`, and their transitions as numbers of it."""

    steps: Array
    llc: Array
    probe: Array
    llc_changes: Array
    probe_changes: Array


def _by_run(frame: pd.DataFrame, by: list[str]) -> dict[tuple[str, ...], dict[str, _Series]]:
    """The series of each name and run."""
    out: dict[tuple[str, ...], dict[str, _Series]] = {}
    for (run, *name), group in frame.groupby(["run", *by], sort=True):
        steps, values, stderr = (group[c].to_numpy(float) for c in ("step", "value", "stderr"))
        changes = transition_steps(steps, values, stderr)
        out.setdefault(tuple(map(str, name)), {})[str(run)] = _Series(steps, values, changes)
    return out


def _join(x: _Series, y: _Series) -> _Pair:
    steps, first, second = np.intersect1d(x.steps, y.steps, assume_unique=True, return_indices=True)
    a, b = x.values[first], y.values[second]
    known = ~(np.isnan(a) | np.isnan(b))
    steps, a, b = steps[known], a[known], b[known]
    return _Pair(steps, a, b, *(_checkpoints(of.changes, steps) for of in (x, y)))


def _checkpoints(changes: Array, steps: Array) -> Array:
    """Numbers of the checkpoints in `steps` `[n]` nearest to changes `[k]`, by log step."""
    if not len(changes) or not len(steps):
        return np.empty(0)
    apart = np.abs(np.log1p(changes)[:, None] - np.log1p(steps)[None, :])
    return np.argmin(apart, axis=1).astype(float)


def _over_runs(pairs: dict[str, _Pair], arms: dict[str, str]) -> list[dict[str, object]]:
    """Runs on the checkpoints that all of them have."""
    of = list(pairs.values())
    common = of[0].steps
    for pair in of:
        common = np.intersect1d(common, pair.steps)
    shared = [np.isin(pair.steps, common) for pair in of]
    return across_runs(
        np.array([pair.llc[rows] for pair, rows in zip(of, shared, strict=True)]),
        np.array([pair.probe[rows] for pair, rows in zip(of, shared, strict=True)]),
        [arms[run] for run in pairs],
        [pair.llc_changes for pair in of],
        [pair.probe_changes for pair in of],
    )
