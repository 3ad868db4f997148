"""Series over environment steps: one per run, and their mean where an arm has several seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from analysis import meaning
from analysis.report.data import StudyData
from analysis.report.figures.model import Panel, Series, integers, mean_series, numbers
from analysis.report.queries import llc_rows, matched_rows
from analysis.report.seed_means import ANY, Z95, Bounds, mean_curve
from analysis.series import interval_stderr

_MAX_RETURNS = 240


_HOLLOW = (
    "Hollow points: the policy hardly depends on the state there (information below "
    f"{meaning.LEAST_INFORMATION} nats), so its LLC says nothing of a goal."
)
_DIAMONDS = "Diamonds: estimates that did not pass all checks; the warnings say which."
POLICY = (  # what is shown of the policy under its LLC: column, title, unit
    ("entropy", "Entropy of the policy", "nats"),
    ("information", "Information I(state; action)", "nats"),
    ("logit_scale", "Logit scale", "nats, root mean square"),
)


def llc_lines(rows: pd.DataFrame, arm: str, color: int, panel: str) -> list[Series]:
    """LLC of an arm's runs with 95 % intervals, and the mean over seeds.

    Points are hollow where the policy hardly depends on the state.
    """
    half = Z95 * interval_stderr(rows)
    ends = {"ci_low": rows["llc"] - half, "ci_high": rows["llc"] + half}
    flag = rows["status"].fillna("unknown")
    rows = rows.assign(value=rows["llc"], flag=flag, hollow=meaning.state_independent(rows), **ends)
    return run_lines(rows, arm, color, panel)


def matched_lines(rows: pd.DataFrame, arm: str, color: int, panel: str) -> list[Series]:
    """`llc_lines` of the control at matched entropy, dotted."""
    note = meaning.matched(rows)
    return [replace(s, note=note, dash="dot") for s in llc_lines(rows, arm, color, panel)]


def llc_notes(data: StudyData) -> list[str]:
    """What the LLC is at, and what its dotted lines and hollow points are, where there are any."""
    rows, control = llc_rows(data), matched_rows(data)
    return [
        *([f"The LLC is at {meaning.setting(rows)}."] if len(rows) else []),
        *control_notes(control),
        *(point_notes(pd.concat([rows, control])) if len(rows) else []),
    ]


def control_notes(control: pd.DataFrame) -> list[str]:
    """What dotted lines are, where there are any: the control at equal entropy.

    Args:
        control: rows of `matched_rows`.
    """
    if control.empty:
        return []
    return [f"Dotted, a control: the same policies {meaning.matched(control)}, equally random."]


def point_notes(rows: pd.DataFrame) -> list[str]:
    """What the points of estimates are that are not plain dots, where there are any."""
    return [
        *([_HOLLOW] if len(rows) and meaning.state_independent(rows).any() else []),
        *([_DIAMONDS] if rows["status"].eq("suspect").any() else []),
    ]


def policy_panels(rows: pd.DataFrame, states: str, height: int) -> list[Panel]:
    """The panels below an LLC, for those of `POLICY` that the estimates hold."""
    largest = {name: rows.reindex(columns=[name])[name].max() for name, *_ in POLICY}
    return [
        Panel(f"{name}:{states}", title, unit, (0.0, 1.1 * (float(most) or 1.0)), height)
        for name, title, unit in POLICY
        if pd.notna(most := largest[name])
    ]


def estimate_lines(data: StudyData, arm: str, color: int, panel: str) -> list[Series]:
    """What an arm's estimates have of a panel `llc:STATES`, or of one of `POLICY` below it."""
    kind, _, states = panel.partition(":")
    rows, control = (
        table[table["states"] == states] for table in (llc_rows(data), matched_rows(data))
    )
    if kind == "llc":
        matched = matched_lines(control, arm, color, panel) if len(control) else []
        return [*llc_lines(rows, arm, color, panel), *matched]
    return run_lines(rows.assign(value=rows[kind]), arm, color, panel, (0.0, math.inf))


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


def with_bands(
    rows: pd.DataFrame,
    of: str = "value",
    stderr: str = "stderr",
    *,
    bounds: Bounds = ANY,
    dof: pd.Series | float = math.inf,
    together: int = 1,
) -> pd.DataFrame:
    """Rows with what `run_lines` draws of a column: its value, 95 % interval, and flag.

    Args:
        rows: of a table, with a column `status`.
        of: column of the values.
        stderr: column of their standard errors.
        bounds: least and largest possible value, where intervals are truncated.
        dof: degrees of freedom of Student's t; infinitely many are a normal error.
        together: how many intervals are to hold at once (Bonferroni).
    """
    half = student.ppf(1 - 0.025 / together, dof) * rows[stderr].astype(float)
    low, high = (rows[of] - half).clip(lower=bounds[0]), (rows[of] + half).clip(upper=bounds[1])
    return rows.assign(value=rows[of], ci_low=low, ci_high=high, flag=rows["status"])


def run_lines(
    rows: pd.DataFrame, arm: str, color: int, panel: str, bounds: Bounds = ANY, *,
    together: int = 1,
) -> list[Series]:  # fmt: skip
    """A value of an arm's runs with their intervals, and the mean over seeds within its bounds.

    Columns are run, arm, step (or another number for the x axis), value, and where known ci_low,
    ci_high, n, flag and hollow. Of `together` see `with_bands`.
    """
    mine = rows[rows["arm"] == arm]
    out = []
    for run, part in mine.groupby("run", sort=False):
        part = part.sort_values("step")
        ends = [numbers(part[c]) if c in part else [] for c in ("ci_low", "ci_high")]
        out.append(
            Series(
                panel, arm, "seed", color, _places(part["step"]), numbers(part["value"]),
                run=str(run), low=ends[0], high=ends[1],
                n=integers(part["n"]) if "n" in part else [],
                flag=list(part["flag"]) if "flag" in part else [],
                hollow=list(map(bool, part["hollow"])) if "hollow" in part else [],
            )
        )  # fmt: skip
    if len(out) < 2:
        return out
    sound = mine[mine["flag"] != "failed"] if "flag" in mine else mine
    curve = mean_curve(sound, "value", bounds, together=together)
    mean = mean_series(panel, arm, color, _places(curve["step"]), curve)
    if "hollow" not in sound:
        return [*out, mean]
    hollow = sound.groupby(sound["step"].astype(float))["hollow"].all()
    return [*out, replace(mean, hollow=[bool(hollow[float(x)]) for x in mean.x])]


def _places(values: pd.Series) -> list[float]:
    """Whole numbers as such, so that a step is written as it is in the tables."""
    return [int(v) if float(v).is_integer() else float(v) for v in values]
