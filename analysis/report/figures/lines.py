"""Series over environment steps: one per run, and their mean where an arm has several seeds."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.report.figures.model import Series, integers, numbers
from analysis.report.seed_means import ANY, SHARE, Z95, Bounds, mean_curve

_MAX_RETURNS = 240


def llc_lines(rows: pd.DataFrame, arm: str, colour: int, panel: str, style: str) -> list[Series]:
    """LLC of an arm's runs with 95 % intervals (Monte Carlo error), and the mean over seeds."""
    half = Z95 * rows["llc_stderr"]
    shown = rows.assign(value=rows["llc"], ci_low=rows["llc"] - half, ci_high=rows["llc"] + half)
    out = [
        replace(
            _line(run, part, arm, colour, panel),
            style=style,
            flag=[str(s) if s is not pd.NA else "unknown" for s in part["status"]],
        )
        for run, part in _by_run(shown, arm)
    ]
    sound = rows[(rows["arm"] == arm) & (rows["status"] != "failed")]
    return _with_mean(out, sound, "llc", arm, colour, panel, style)


def probe_lines(
    rows: pd.DataFrame, arm: str, colour: int, panel: str, bounds: Bounds = SHARE
) -> list[Series]:
    """A probe's score of an arm's runs with their intervals, and the mean over seeds."""
    out = [
        replace(_line(run, part, arm, colour, panel), n=integers(part["n"]))
        for run, part in _by_run(rows, arm)
    ]
    return _with_mean(out, rows[rows["arm"] == arm], "value", arm, colour, panel, "solid", bounds)


def return_lines(curves: dict[str, pd.DataFrame], arm: str, colour: int) -> list[Series]:
    """Training return of an arm's runs; of long curves, rows evenly spaced in log steps.

    Args:
        curves: for each run a frame with columns step and ret.
        arm: name of the series.
        colour: index of the arm.
    """
    out = []
    for run, curve in curves.items():
        shown = thin(curve)
        if len(shown):
            steps = [int(s) for s in shown["step"]]
            out.append(Series("return", arm, "seed", colour, steps, numbers(shown["ret"]), run=run))
    parts = [thin(curve).assign(run=run) for run, curve in curves.items() if len(curve)]
    rows = pd.concat(parts) if parts else pd.DataFrame({"run": [], "step": [], "ret": []})
    return _with_mean(out, rows, "ret", arm, colour, "return", "solid")


def thin(curve: pd.DataFrame) -> pd.DataFrame:
    """At most 240 rows of a curve, nearest to a log-spaced grid; rows themselves are unchanged."""
    if len(curve) <= _MAX_RETURNS:
        return curve
    steps = curve["step"].clip(lower=1).astype(float)
    ratio = (steps.iloc[-1] / steps.iloc[0]) ** (1 / (_MAX_RETURNS - 1))
    grid = [steps.iloc[0] * ratio**i for i in range(_MAX_RETURNS)]
    places = sorted({min(int(steps.searchsorted(g)), len(curve) - 1) for g in grid})
    return curve.iloc[places]


def baseline_line(value: float, panel: str, name: str, steps: list[int]) -> Series:
    """A constant line across the whole axis."""
    return Series(panel, name, "baseline", -1, steps, [value] * len(steps))


def _line(run: str, part: pd.DataFrame, arm: str, colour: int, panel: str) -> Series:
    """One run's line from columns step, value, ci_low and ci_high."""
    return Series(
        panel, arm, "seed", colour, [int(s) for s in part["step"]], numbers(part["value"]), run=run,
        low=numbers(part["ci_low"]), high=numbers(part["ci_high"]),
    )  # fmt: skip


def _by_run(rows: pd.DataFrame, arm: str) -> list[tuple[str, pd.DataFrame]]:
    mine = rows[rows["arm"] == arm]
    return [(str(run), part.sort_values("step")) for run, part in mine.groupby("run", sort=False)]


def _with_mean(
    lines: list[Series],
    rows: pd.DataFrame,
    value: str,
    arm: str,
    colour: int,
    panel: str,
    style: str,
    bounds: Bounds = ANY,
) -> list[Series]:
    if len(lines) < 2:
        return lines
    curve = mean_curve(rows, value, bounds)
    mean = Series(
        panel,
        arm,
        "mean",
        colour,
        [int(s) for s in curve["step"]],
        numbers(curve["mean"]),
        style=style,
        low=numbers(curve["low"]),
        high=numbers(curve["high"]),
        n=integers(curve["n"]),
    )
    return [*lines, mean]
