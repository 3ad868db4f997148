"""Figure: loss against LLC along training."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.model import Figure, Panel, Series, integers, numbers
from analysis.report.labels import LLC_UNIT, states_title
from analysis.report.queries import states_in_order, yardstick_rows
from analysis.report.seed_means import Z95, mean_curve


@dataclass(frozen=True)
class _Losses:
    """Rows with columns run, arm, step, x, llc, llc_stderr, status, and what x is."""

    rows: pd.DataFrame
    x_title: str
    note: str
    llc_title: str


def staircase_figure(data: StudyData, llc: pd.DataFrame) -> Figure:
    """A path through the checkpoints of each run, loss across and LLC up.

    The loss is the one to a fixed reference policy where such estimates exist; else the training
    return (falling to the right) stands in for it.
    """
    losses = _to_reference(data) or _of_return(data, llc)
    series = [] if losses is None else _paths(losses, data)
    return Figure(
        id="staircase",
        kind="path",
        title="Loss and complexity together",
        caption=(
            "Each line follows one agent through its checkpoints, from the open ring (first) to "
            "the large dot (last). Singular learning theory expects learning to trade loss for "
            "complexity: steps to the right, where the loss is lower, and up. "
            + (losses.note if losses else "")
        ),
        alt=f"Paths of {len(series)} agents through loss and LLC.",
        x_title=losses.x_title if losses else "loss",
        panels=[Panel("path", losses.llc_title if losses else "", LLC_UNIT, height=320)],
        series=series,
        missing=""
        if series
        else "Needs LLC estimates and either a loss to a fixed reference or a "
        "training curve for the same checkpoints.",
    )


def _to_reference(data: StudyData) -> _Losses | None:
    rows = yardstick_rows(data).dropna(subset=["loss_init", "llc"]) if len(data.runs) else None
    if rows is None or rows.empty:
        return None
    states = states_in_order(rows)[0]
    rows = rows[rows["states"] == states].assign(x=lambda f: f["loss_init"])
    reference = ", ".join(sorted(map(str, rows["reference"].unique())))
    return _Losses(
        rows,
        f"{rows['loss'].iloc[0]} loss to the policy {reference} (nats per state)",
        f"The loss is measured to one fixed policy ({reference}), {states_title(states)}.",
        f"LLC {states_title(states)}",
    )


def _of_return(data: StudyData, llc: pd.DataFrame) -> _Losses | None:
    if llc.empty:
        return None
    states = states_in_order(llc)[0]
    parts = []
    for run in data.runs:
        mine = llc[(llc["run"] == run.name) & (llc["states"] == states)].dropna(subset=["llc"])
        if len(mine) and len(run.progress):
            parts.append(mine.assign(x=_returns_at(run.progress, mine["step"])))
    rows = pd.concat(parts).dropna(subset=["x"]) if parts else pd.DataFrame()
    if rows.empty:
        return None
    return _Losses(
        rows,
        "training return (reward per episode)",
        "No loss to a fixed policy was estimated, so the training return stands in for it "
        "(a higher return is a lower loss). The two arms train on different levels, so their "
        "returns are no common scale.",
        f"LLC {states_title(states)}",
    )


def _returns_at(curve: pd.DataFrame, steps: pd.Series) -> list[float]:
    """The first recorded return at or after each step, or the last one; step 0 takes the first."""
    places = curve["step"].searchsorted(steps.astype(float)).clip(max=len(curve) - 1)
    return [float(v) for v in curve["ret"].iloc[places]]


def _paths(losses: _Losses, data: StudyData) -> list[Series]:
    """A path per run, and for an arm of several seeds the path of their means."""
    out = []
    for colour, arm in enumerate(data.arms):
        mine = losses.rows[losses.rows["arm"] == arm]
        runs = [_path(part, str(run), arm, colour) for run, part in mine.groupby("run", sort=False)]
        out += runs
        if len(runs) > 1:
            sound = mine[mine["status"] != "failed"]
            x, y = mean_curve(sound, "x"), mean_curve(sound, "llc")
            both = x.merge(y, on="step", suffixes=("_x", ""))
            out.append(
                Series(
                    "path",
                    arm,
                    "mean",
                    colour,
                    numbers(both["mean_x"]),
                    numbers(both["mean"]),
                    low=numbers(both["low"]),
                    high=numbers(both["high"]),
                    n=integers(both["n"]),
                    step=[int(s) for s in both["step"]],
                )
            )
    return out


def _path(part: pd.DataFrame, run: str, arm: str, colour: int) -> Series:
    part = part.sort_values("step")
    half = Z95 * part["llc_stderr"]
    return Series(
        "path",
        arm,
        "seed",
        colour,
        numbers(part["x"]),
        numbers(part["llc"]),
        run=run,
        low=numbers(part["llc"] - half),
        high=numbers(part["llc"] + half),
        flag=[str(s) for s in part["status"]],
        step=[int(s) for s in part["step"]],
    )
