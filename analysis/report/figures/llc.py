"""Figures: the LLC of all arms along training, and against the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.axes import shared_axis
from analysis.report.figures.lines import llc_lines
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series, mean_series, numbers
from analysis.report.labels import LLC_LABEL, states_title
from analysis.report.queries import failed, fixed_reference_rows, llc_rows, states_in_order
from analysis.report.seed_means import Z95, mean_curve
from analysis.series import interval_stderr


def _along_training(data: StudyData) -> Iterator[Figure]:
    """One panel per state set, one line per arm."""
    llc = llc_rows(data)
    panels: list[Panel] = []
    series: list[Series] = []
    for name in states_in_order(llc):
        key = f"llc:{name}"
        panels.append(Panel(key, f"LLC {states_title(name)}", LLC_LABEL, height=220))
        for i, arm in enumerate(data.arms):
            series += llc_lines(llc[llc["states"] == name], arm, i, key)
    last = [
        f"{s.name} {s.panel.partition(':')[2]} {known[-1][1]:.1f} at step {known[-1][0]}"
        for s in series
        if (
            known := [
                p
                for p in zip(s.x, s.y, s.flag or s.y, strict=True)
                if p[1] is not None and p[2] != "failed"
            ]
        )
    ]
    alt = "Lines of the LLC over environment steps. Last values: " + "; ".join(last[:8]) + "."
    panels = panels or [Panel("llc", "LLC", LLC_LABEL, missing="no estimates")]
    yield Figure(panels, series, alt, axis=shared_axis(data))


def _against_loss(data: StudyData) -> Iterator[Figure]:
    """A path through the checkpoints of each run, loss across and LLC up.

    The loss is the one to a fixed reference policy where such estimates exist; else the training
    return (falling to the right) stands in for it.
    """
    rows = fixed_reference_rows(data).dropna(subset=["loss_init", "llc"])
    rows = rows[~failed(rows)]
    to_reference = len(rows) > 0
    rows = rows if to_reference else llc_rows(data).dropna(subset=["llc"])
    rows = rows[~failed(rows)]
    states = states_in_order(rows)[0] if len(rows) else ""
    rows = rows[rows["states"] == states]
    if to_reference:
        rows = rows.assign(x=rows["loss_init"])
        reference = ", ".join(sorted(map(str, rows["reference"].unique())))
        x_title = f"{rows['loss'].iloc[0]} loss to the policy {reference} (nats per state)"
        note = f"The loss is measured to one fixed policy ({reference}), {states_title(states)}."
    else:
        rows = _with_returns(rows, data)
        x_title = "training return (reward per episode)"
        note = (
            "No loss to a fixed policy was estimated, so the training return stands in for it "
            "(a higher return is a lower loss)."
        )
        levels = {str([run.train.get(k) for k in ("coin", "levels")]) for run in data.runs}
        if len(levels) > 1:
            note += " Not all runs train on the same levels, so returns are no common scale."
    series = _paths(rows, data) if len(rows) else []
    yield Figure(
        [Panel("path", f"LLC {states_title(states)}" if series else "", LLC_LABEL, height=320)],
        series,
        f"Paths of {len(series)} agents through loss and LLC.",
        caption=f"{STAIRCASE.caption} {note}" if series else "",
        x_title=x_title if series else "",
    )


def _with_returns(rows: pd.DataFrame, data: StudyData) -> pd.DataFrame:
    """With x, the first training return recorded at or after a step, or else the last one."""
    parts = []
    for run in data.runs:
        mine, curve = rows[rows["run"] == run.name], run.progress
        if len(mine) and len(curve):
            places = curve["step"].searchsorted(mine["step"].astype(float))
            x = curve["ret"].iloc[places.clip(max=len(curve) - 1)].to_numpy(dtype=float)
            parts.append(mine.assign(x=x))
    return pd.concat(parts).dropna(subset=["x"]) if parts else pd.DataFrame()


def _paths(rows: pd.DataFrame, data: StudyData) -> list[Series]:
    """A path per run, and for an arm of several seeds the path of their means."""
    out = []
    for color, arm in enumerate(data.arms):
        mine = rows[rows["arm"] == arm]
        runs = [_path(part, str(run), arm, color) for run, part in mine.groupby("run", sort=False)]
        out += runs
        if len(runs) > 1:
            x, y = mean_curve(mine, "x"), mean_curve(mine, "llc")
            both = x.merge(y, on="step", suffixes=("_x", ""))
            out.append(mean_series("path", arm, color, numbers(both["mean_x"]), both))
            out[-1] = replace(out[-1], step=[int(s) for s in both["step"]])
    return out


def _path(part: pd.DataFrame, run: str, arm: str, color: int) -> Series:
    part = part.sort_values("step")
    half = Z95 * interval_stderr(part)
    return Series(
        "path", arm, "seed", color, numbers(part["x"]), numbers(part["llc"]), run=run,
        low=numbers(part["llc"] - half), high=numbers(part["llc"] + half),
        flag=list(part["status"].fillna("unknown")), step=[int(s) for s in part["step"]],
    )  # fmt: skip


COMPLEXITY = FigureRecord(
    id="complexity",
    section="complexity",
    title="How complex the policies are",
    caption=(
        "The local learning coefficient (LLC) of the checkpoints, in common axes. A larger "
        "value means that fewer nearby weight settings keep the same behavior. Bands: 95 % "
        "intervals of the sampler's own error, or over seeds where an arm has several. Only "
        "estimates on the same states are comparable between arms."
    ),
    needs="There are no LLC estimates (table llc is empty).",
    draw=_along_training,
)
STAIRCASE = FigureRecord(
    id="staircase",
    section="staircase",
    kind="path",
    title="Loss and complexity together",
    caption=(
        "Each line follows one agent through its checkpoints, from the open ring (first) to "
        "the large dot (last). Singular learning theory expects learning to trade loss for "
        "complexity: steps to the right, where the loss is lower, and up."
    ),
    x_title="loss",
    needs=(
        "Needs LLC estimates and either a loss to a fixed reference or a training curve for the "
        "same checkpoints."
    ),
    draw=_against_loss,
)
