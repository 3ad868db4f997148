"""Figures: the LLC of all arms along training, over resolutions, and against the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis import meaning
from analysis.report.data import StudyData
from analysis.report.figures.axes import log_axis, shared_axis
from analysis.report.figures.lines import (
    POLICY,
    baseline_line,
    estimate_lines,
    llc_lines,
    llc_notes,
    policy_panels,
    run_lines,
)
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series, mean_series, numbers
from analysis.report.labels import states_short, states_title
from analysis.report.load import return_at
from analysis.report.queries import (
    failed,
    fixed_reference_rows,
    llc_rows,
    profile_rows,
    states_in_order,
)
from analysis.report.seed_means import Z95, mean_curve
from analysis.series import interval_stderr


def _along_training(data: StudyData) -> Iterator[Figure]:
    """Per state set the LLC, one line per arm, and below it how sharp the policies are."""
    panels: list[Panel] = []
    notes: list[str] = []
    llc = llc_rows(data)
    for name in states_in_order(llc):
        rows = llc[llc["states"] == name]
        policy = policy_panels(rows, name, height=64)
        title = f"LLC {states_title(name)}"
        panels += [Panel(f"llc:{name}", title, meaning.label(rows), height=220), *policy]
        notes += [NO_POLICY] if len(policy) < len(POLICY) else []
    series = [
        line
        for panel in panels
        for i, arm in enumerate(data.arms)
        for line in estimate_lines(data, arm, i, panel.key)
    ]
    notes += llc_notes(data)
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
    panels = panels or [Panel("llc", "LLC", "", missing="no estimates")]
    caption = " ".join(dict.fromkeys([ALONG_TRAINING.caption, *notes]))
    yield Figure(panels, series, alt, axis=shared_axis(data), caption=caption)


def _over_resolutions(data: StudyData) -> Iterator[Figure]:
    """Per state set the LLC of the last checkpoints, half the effective dimension, and the gap."""
    rows = profile_rows(data)
    rows = rows.assign(step=rows["relative_temperature"].map(lambda k: float(f"{k:.3g}")))
    panels, series, said = [], [], []
    for name in states_in_order(rows):
        mine = rows[rows["states"] == name]
        title, key = f"LLC {states_title(name)}", f"llc:{name}"
        label = f"{meaning.choices(mine)}, {meaning.count_of_states(mine)}"
        panels.append(Panel(key, title, label, height=240, log=True))
        gap = _gap(mine)
        said += _far(gap, name)
        panels.append(Panel(f"gap:{name}", "Gap to a Gaussian posterior", GAP, height=100))
        series.append(baseline_line(0.0, f"gap:{name}", "Gaussian", list(gap["step"].unique())))
        half = mine.assign(llc=mine["half_d_eff"], llc_stderr=mine["half_d_eff_stderr"])
        half = half.dropna(subset=["llc"]).assign(status="ok")
        for i, arm in enumerate(data.arms):
            series += llc_lines(mine, arm, i, key)
            series += run_lines(gap, arm, i, f"gap:{name}")
            series += [
                replace(line, note="half the effective dimension", dash="dash")
                for line in llc_lines(half, arm, i, key)
            ]
        of_arms = {arm: meaning.profile_verdict(mine[mine["arm"] == arm]) for arm in data.arms}
        if verdicts := meaning.verdicts(of_arms):
            said.append(f"Verdict {states_short(name)} ({label}): {verdicts}.")
    yield Figure(
        panels or [Panel("profile", "", "")],
        series,
        f"Lines of the LLC over relative temperature. {' '.join(said)}",
        axis=log_axis("relative temperature", rows["step"]),
        caption=" ".join([PROFILE.caption, *said]),
    )


def _gap(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of table `profile` with `LLC / half_d_eff - 1` in per cent and its 95 % interval."""
    value, half = 100 * (rows["llc"] / rows["half_d_eff"] - 1), rows["half_d_eff"]
    relative = (rows["llc_stderr"] / rows["llc"]) ** 2 + (rows["half_d_eff_stderr"] / half) ** 2
    width = Z95 * (100 + value) * relative**0.5
    found = rows.assign(value=value, ci_low=value - width, ci_high=value + width)
    return found.assign(flag=rows["status"].fillna("unknown")).dropna(subset=["value"])


def _far(gap: pd.DataFrame, states: str) -> list[str]:
    """A sentence of the LLCs at K up to 50 that are far from half of d_eff, if any."""
    far = gap[(gap["value"].abs() > FAR) & (gap["relative_temperature"] <= UP_TO + 0.5)]
    each = [
        f"{row['run']} {row['value']:+.0f} % ± {row['ci_high'] - row['value']:.0f} "
        f"at K = {row['step']:g}"
        for row in far.to_dict("records")
    ]
    if not each:
        return []
    return [
        f"More than {FAR:g} % from a Gaussian posterior's, at K up to {UP_TO:g} "
        f"{states_short(states)} (with 95 % intervals): {', '.join(each)}."
    ]


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
        if any(run.train.get("trainer") != "exact" for run in data.runs):
            note += " It begins when every environment has played for a full time limit."
        levels = {str([run.train.get(k) for k in ("coin", "levels")]) for run in data.runs}
        if len(levels) > 1:
            note += " Not all runs train on the same levels, so returns are no common scale."
    series = paths_of(rows, data) if len(rows) else []
    yield Figure(
        [Panel("path", f"LLC {states_title(states)}", meaning.label(rows), height=320)]
        if series
        else [Panel("path", "", "")],
        series,
        f"Paths of {len(series)} agents through loss and LLC.",
        caption=f"{STAIRCASE.caption} The LLC is at {meaning.setting(rows)}. {note}"
        if series
        else "",
        x_title=x_title if series else "",
    )


def _with_returns(rows: pd.DataFrame, data: StudyData) -> pd.DataFrame:
    """With x, the last training return recorded up to a step; rows without one are left out."""
    parts = []
    for run in data.runs:
        mine = rows[rows["run"] == run.name]
        if len(mine) and len(run.progress):
            parts.append(mine.assign(x=return_at(run.progress, mine["step"])))
    return pd.concat(parts).dropna(subset=["x"]) if parts else pd.DataFrame()


def paths_of(rows: pd.DataFrame, data: StudyData, value: str = "llc") -> list[Series]:
    """A path per run, and for an arm of several seeds the path of their means.

    Args:
        rows: columns run, arm, step, status, x (across) and the value (up); of an LLC its errors,
            of another value its ci_low and ci_high.
        data: the study.
        value: column of what is drawn upwards.
    """
    out = []
    for color, arm in enumerate(data.arms):
        mine = rows[rows["arm"] == arm]
        runs = [_path(part, str(run), arm, color, value)
                for run, part in mine.groupby("run", sort=False)]  # fmt: skip
        out += runs
        if len(runs) > 1:
            x, y = mean_curve(mine, "x"), mean_curve(mine, value)
            both = x.merge(y, on="step", suffixes=("_x", ""))
            out.append(mean_series("path", arm, color, numbers(both["mean_x"]), both))
            out[-1] = replace(out[-1], step=[int(s) for s in both["step"]])
    return out


def _path(part: pd.DataFrame, run: str, arm: str, color: int, value: str) -> Series:
    part = part.sort_values("step")
    if value == "llc":
        half = Z95 * interval_stderr(part)
        part = part.assign(ci_low=part["llc"] - half, ci_high=part["llc"] + half)
    return Series(
        "path", arm, "seed", color, numbers(part["x"]), numbers(part[value]), run=run,
        low=numbers(part["ci_low"]), high=numbers(part["ci_high"]),
        flag=list(part["status"].fillna("unknown")), step=[int(s) for s in part["step"]],
    )  # fmt: skip


FAR, UP_TO = 8.0, 50.0  # per cent, within which LLCs of trained policies are up to that K
GAP = "LLC over half the effective dimension, less 1, %"
NO_POLICY = (
    "Entropy, information or logit scale are not in the table, which an earlier version wrote; "
    "`rl-slt llc RUN` estimates again."
)
ALONG_TRAINING = FigureRecord(
    id="llc",
    section="llc",
    title="The LLC along training",
    caption=(
        "The local learning coefficient (LLC) of the checkpoints, and how sharp the policies are "
        "on the same states. Bands: 95 % intervals of each estimate (errors of chains and of "
        "states), or over seeds where an arm has several."
    ),
    needs="There are no LLC estimates (table llc is empty).",
    draw=_along_training,
)
PROFILE = FigureRecord(
    id="profile",
    section="llc",
    title="The LLC of the last checkpoints over resolutions",
    caption=(
        "A learning coefficient would be a plateau: the same number over a decade. Dashed: half "
        "the effective dimension of the curvature at the same resolution, what the LLC of a "
        "Gaussian posterior would be; below, how far the LLC is from it: what is not Gaussian in "
        "the posterior and, the more so the larger K, the noise of batches in the chains."
    ),
    x_title="relative temperature K (log scale)",
    needs="There is no profile over resolutions; `rl-slt llc RUN --profile` makes one.",
    draw=_over_resolutions,
)
STAIRCASE = FigureRecord(
    id="staircase",
    section="staircase",
    kind="path",
    title="Loss and LLC together",
    caption=(
        "Each line follows one agent through its checkpoints, from the open ring (first) to "
        "the large dot (last). Singular learning theory expects steps to the right, where the "
        "loss is lower, and up, to a larger learning coefficient."
    ),
    x_title="loss",
    needs=(
        "Needs LLC estimates and either a loss to a fixed reference or a training curve for the "
        "same checkpoints."
    ),
    draw=_against_loss,
)
