"""Series over environment steps: one per run, and their mean where an arm has several seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.report.figures.model import Series, integers, mean_series, numbers
from analysis.report.seed_means import ANY, Z95, Bounds, mean_curve
from analysis.series import interval_stderr

_MAX_RETURNS = 240


def llc_lines(rows: pd.DataFrame, arm: str, color: int, panel: str) -> list[Series]:
    """LLC of an arm's runs with 95 % intervals, and the mean over seeds."""
    half = Z95 * interval_stderr(rows)
    ends = {"ci_low": rows["llc"] - half, "ci_high": rows["llc"] + half}
    flag = rows["status"].fillna("unknown")
    return run_lines(rows.assign(value=rows["llc"], flag=flag, **ends), arm, color, panel)


def return_lines(curves: dict[str, pd.DataFrame], arm: str, color: int) -> list[Series]:
    """Training return of an arm's runs; of long curves, rows evenly spaced in log steps.

    Args:
        curves: for each run a frame with columns step (environment steps) and ret.
        arm: name of the series.
        color: index of the arm.
    """
    parts = [thin(curve).assign(run=run) for run, curve in curves.items() if len(curve)]
    if not parts:
        return []
    rows = pd.concat(parts).rename(columns={"ret": "value"}).assign(arm=arm)
    return run_lines(rows, arm, color, "return")


def thin(curve: pd.DataFrame) -> pd.DataFrame:
    """At most 240 rows of a curve, nearest to a log-spaced grid; rows themselves are unchanged."""
    if len(curve) <= _MAX_RETURNS:
        return curve
    steps = curve["step"].clip(lower=1).astype(float)
    ratio = (steps.iloc[-1] / steps.iloc[0]) ** (1 / (_MAX_RETURNS - 1))
    grid = [steps.iloc[0] * ratio**i for i in range(_MAX_RETURNS)]
    places = np.unique(np.searchsorted(steps, grid).clip(max=len(curve) - 1))
    return curve.iloc[places]


def baseline_line(value: float, panel: str, name: str, steps: list[int]) -> Series:
    """A constant line across the whole axis."""
    return Series(panel, name, "baseline", -1, steps, [value] * len(steps))


def run_lines(
    rows: pd.DataFrame, arm: str, color: int, panel: str, bounds: Bounds = ANY
) -> list[Series]:
    """A value of an arm's runs with their intervals, and the mean over seeds within its bounds.

    Columns are run, arm, step, value, and where known ci_low, ci_high, n and flag.
    """
    mine = rows[rows["arm"] == arm]
    out = []
    for run, part in mine.groupby("run", sort=False):
        part = part.sort_values("step")
        ends = [numbers(part[c]) if c in part else [] for c in ("ci_low", "ci_high")]
        out.append(
            Series(
                panel, arm, "seed", color, [int(s) for s in part["step"]], numbers(part["value"]),
                run=str(run), low=ends[0], high=ends[1],
                n=integers(part["n"]) if "n" in part else [],
                flag=list(part["flag"]) if "flag" in part else [],
            )
        )  # fmt: skip
    if len(out) < 2:
        return out
    sound = mine[mine["flag"] != "failed"] if "flag" in mine else mine
    curve = mean_curve(sound, "value", bounds)
    steps = (int(s) for s in curve["step"])
    return [*out, mean_series(panel, arm, color, steps, curve)]
