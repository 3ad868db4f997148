"""The table `associations`: every LLC series against every probe metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from analysis.associations.across import across_runs
from analysis.associations.coincidence import places
from analysis.associations.within import within_run
from analysis.schema import ALL_RUNS, conform, empty
from analysis.series import arms_of_runs, llc_series, probe_series
from analysis.transitions import detect_transitions

Array = npt.NDArray[np.float64]
Key = tuple[str, ...]
DETECTOR = "change_point"
EXTRA = {"lag_low": "float64", "lag_high": "float64", "note": "string"}


def associate(
    llc: pd.DataFrame,
    probes: pd.DataFrame,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Do the LLC and the goal change together, more than chance allows?

    Args:
        llc: table `llc`, of one run or several.
        probes: table `probes` of the same runs.
        progress: called with (pairs done, pairs in all).

    Returns:
        Columns of `associations` and lag_low, lag_high, note; one row per run, LLC series, probe
        metric and statistic. In each run: `change_r` (against circular shifts; p-value from 20
        checkpoints on), and without p-value, since what learning curves share by themselves cannot
        be told apart there, `level_r`, `lead_lag`, `curve_lag` and `coincidence`. Over runs, where
        run is `*`: `seed_r`, `seed_curve_r`, `seed_coincidence` and `seed_lead_lag` (runs
        permuted within arms; p-value from 5 runs on). `q_value` holds the false discovery rate at
        any dependence between the tests of the table (Benjamini & Yekutieli 2001). `lag` is in
        checkpoints, positive where the LLC moves first. A missing p-value has its reason in
        `note`.
    """
    x, y = llc_series(llc), probe_series(probes)
    arms = arms_of_runs(x, y)
    xs: dict[Key, pd.DataFrame] = _split(x, ["run", "series"])
    ys: dict[Key, pd.DataFrame] = _split(y, ["run", "probe", "metric"])
    turns_x = {key: _turns(group) for key, group in xs.items()}
    turns_y = {key: _turns(group) for key, group in ys.items()}
    pairs = sorted({(a[1], b[1], b[2]) for a in xs for b in ys if a[0] == b[0]})
    rows: list[dict[str, object]] = []
    for done, pair in enumerate(pairs):
        shared = _join(xs, ys, turns_x, turns_y, pair)
        for run, (_, a, b, ta, tb) in shared.items():
            rows += [_named(r, run, pair) for r in within_run(a, b, ta, tb)]
        rows += [_named(r, ALL_RUNS, pair) for r in _over_runs(shared, arms)]
        if progress is not None:
            progress(done + 1, len(pairs))
    if not rows:
        return empty("associations").assign(**{k: pd.Series(dtype=v) for k, v in EXTRA.items()})
    frame = pd.DataFrame(rows)
    frame["q_value"] = _q_values(frame["p_value"].to_numpy(dtype=float))
    frame["arm"] = frame["run"].map(arms | {ALL_RUNS: ALL_RUNS})
    return conform("associations", frame).astype({"note": "string"})


_Joined = tuple[Array, Array, Array, Array, Array]  # steps, llc, probe, transitions of each


def _join(
    xs: dict[Key, pd.DataFrame],
    ys: dict[Key, pd.DataFrame],
    turns_x: dict[Key, pd.DataFrame],
    turns_y: dict[Key, pd.DataFrame],
    pair: Key,
) -> dict[str, _Joined]:
    """The pair's series in each run that has both, at the checkpoints where both are known."""
    series, probe, metric = pair
    out: dict[str, _Joined] = {}
    for run in sorted({key[0] for key in xs}):
        kx, ky = (run, series), (run, probe, metric)
        if kx not in xs or ky not in ys:
            continue
        both = xs[kx][["step", "value"]].merge(ys[ky][["step", "value"]], on="step").dropna()
        steps, a, b = (both[c].to_numpy(dtype=float) for c in ("step", "value_x", "value_y"))
        empty_turns = np.empty(0)
        ta = places(turns_x[kx], steps) if len(steps) else empty_turns
        tb = places(turns_y[ky], steps) if len(steps) else empty_turns
        out[run] = (steps, a, b, ta, tb)
    return out


def _over_runs(shared: dict[str, _Joined], arms: dict[str, str]) -> list[dict[str, object]]:
    """Runs on the checkpoints that all of them have."""
    common = None
    for steps, *_ in shared.values():
        common = steps if common is None else np.intersect1d(common, steps)
    if common is None:
        return []
    rows = {run: np.isin(joined[0], common) for run, joined in shared.items()}
    x = np.array([joined[1][rows[run]] for run, joined in shared.items()])
    y = np.array([joined[2][rows[run]] for run, joined in shared.items()])
    turns = [(joined[3], joined[4]) for joined in shared.values()]
    return across_runs(x, y, [arms[r] for r in shared], *map(list, zip(*turns, strict=True)))


def _split(frame: pd.DataFrame, by: list[str]) -> dict[Key, pd.DataFrame]:
    return {tuple(map(str, key)): group for key, group in frame.groupby(by, sort=True)}


def _turns(group: pd.DataFrame) -> pd.DataFrame:
    return detect_transitions(
        group["step"], group["value"], group["stderr"].fillna(0.0), detectors=(DETECTOR,)
    )


def _named(row: dict[str, object], run: str, pair: Key) -> dict[str, object]:
    return {"run": run, "llc_series": pair[0], "probe": pair[1], "metric": pair[2]} | row


def _q_values(p: Array) -> Array:
    out = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        out[known] = false_discovery_control(p[known], method="by")
    return out
