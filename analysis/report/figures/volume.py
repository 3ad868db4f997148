"""Figures of volumes of checkpoints, and of what steering changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from analysis.probes import GOAL_SCORES
from analysis.report.data import StudyData
from analysis.report.figures.axes import log_axis
from analysis.report.figures.lines import run_lines, with_bands
from analysis.report.figures.model import Figure, FigureRecord, Panel, Series, integers, numbers
from analysis.report.labels import capital
from analysis.report.queries import last_of_one_setting, last_rows
from analysis.report.seed_means import Bounds

_DASHES = {"integration": "", "splitting": "", "gaussian": "dash", "rays": "dot"}
_LOST: Bounds = (0.0, math.inf)  # of -log of a share


def _volumes(data: StudyData) -> Iterator[Figure]:
    """The free energy over resolutions, a line for each arm and method; none without rows."""
    rows = data.table("volume").dropna(subset=["run", "step", "relative_temperature"])
    rows = last_rows(rows[(rows["quantity"] == "policy") & (rows["status"] != "refused")])
    rows = with_bands(rows, "free_energy", "free_energy_stderr", bounds=_LOST).assign(
        step=rows["relative_temperature"].map(lambda k: float(f"{k:.3g}"))
    )
    rows = last_of_one_setting(rows, ["run", "states"], ["method"])
    series = _by_method(data, rows, "volume")
    if series:
        panel = Panel("volume", "Free energy", "-log share of the localizer, nats", height=240,
                      log=True)  # fmt: skip
        axis = log_axis("relative temperature", rows["step"])
        alt = "Lines of the free energy over relative temperature, by three methods."
        yield Figure([panel], series, alt, axis=axis)


def _by_method(data: StudyData, rows: pd.DataFrame, panel: str) -> list[Series]:
    """Lines of a panel, one for each method, arm and run."""
    return [
        replace(line, note=method, dash=dash)
        for method, dash in _DASHES.items()
        for i, arm in enumerate(data.arms)
        for line in run_lines(rows[rows["method"] == method], arm, i, panel, _LOST)
    ]


def _goal_volumes(data: StudyData) -> Iterator[Figure]:
    """Per goal and part of it that is kept a panel over radii; none without rows."""
    rows = data.table("volume").dropna(subset=["run", "step", "radius"])
    rows = last_rows(rows[(rows["quantity"] != "policy") & (rows["status"] != "refused")])
    dof = rows["dof"].astype(float).fillna(math.inf)
    rows = with_bands(rows, "minus_log_share", "minus_log_share_stderr", bounds=_LOST, dof=dof)
    rows = rows.assign(step=rows["radius"])
    rows = last_of_one_setting(rows, ["run", "states", "quantity", "keep"], ["method"])
    panels: list[Panel] = []
    series: list[Series] = []
    for (goal, keep), part in rows.groupby(["quantity", "keep"], sort=True):
        kept = "its sign" if keep == 0 else f"{keep:.0%} of its size"
        title = f"{capital(GOAL_SCORES[str(goal)].title)}: {kept} is kept"
        panels.append(Panel(f"{goal}:{keep:g}", title, "-log share, nats", height=120))
        series += _by_method(data, part, panels[-1].key)
    if series:
        top = max(0.1, 1.06 * max(v for s in series for v in (*s.high, *s.y) if v is not None))
        panels = [replace(panel, range=(-0.03 * top, top)) for panel in panels]
        axis = log_axis("radius", rows["step"])
        yield Figure(panels, series, "Lines of -log of the share that keeps a goal.", axis=axis)


def _steering(data: StudyData) -> Iterator[Figure]:
    """A row for each probe and change, a point for each run; none without rows."""
    rows = data.table("steering").dropna(subset=["run", "step"])
    rows = last_rows(rows[rows["metric"] != "length"])
    times = rows["strength"].map(", x {:g}".format).astype(str)
    how = rows["module"] + ", coin " + rows["side"] + times
    keys = rows["probe"] + " " + rows["metric"] + ": " + rows["change"]
    rows = rows.assign(key=keys + " (" + how + ")" if how.nunique() > 1 else keys)
    rows = rows.sort_values("n", kind="stable").drop_duplicates(["run", "key"], keep="last")
    rows = rows.sort_index()
    names = [str(key) for key in rows["key"].unique()]
    series = [
        Series(
            "steering", arm, "seed", i, [str(key) for key in part["key"]], numbers(part["value"]),
            run=str(run), low=numbers(part["ci_low"]), high=numbers(part["ci_high"]),
            n=integers(part["n"]), step=[int(s) for s in part["step"]],
        )
        for i, arm in enumerate(data.arms)
        for run, part in rows[rows["arm"] == arm].groupby("run")
    ]  # fmt: skip
    if series:
        axis = {"rows": [{"key": k, "title": k.partition(":")[0], "metric": k.partition(": ")[2]}
                         for k in names]}  # fmt: skip
        panel = Panel("steering", "", "difference", (-2.0, 2.0), 40 * len(names))
        yield Figure([panel], series, "Dot plot of what steering changes.", axis=axis)


VOLUMES = FigureRecord(
    id="volume",
    section="parts",
    title="How much of the localizer's mass keeps the policy",
    caption=(
        "Free energy of the last checkpoints over resolutions: by integration of the LLC, dashed "
        "by the Gaussian formula, dotted along rays, where these have support. Bands: 95 %."
    ),
    x_title="relative temperature K (log scale)",
    needs="No volumes were measured; `rl-slt volume RUN` measures them.",
    draw=_volumes,
)
GOAL_VOLUMES = FigureRecord(
    id="goal-volume",
    section="parts",
    title="How much of the localizer's mass keeps a goal",
    caption=(
        "-log of the share of weights around the last checkpoints in which the goal's score keeps "
        "its sign, or half of its size, over radii of the ball: by splitting, dashed with the "
        "score taken as linear, dotted along rays. 0: all of them keep it. Goals whose score is "
        "not told from 0 are left out. Bands: 95 %."
    ),
    x_title="radius of the localizer, times the norm of the weights (log scale)",
    needs="No volumes of goals were measured; `rl-slt volume RUN` measures them.",
    draw=_goal_volumes,
)
STEERING = FigureRecord(
    id="steering",
    section="parts",
    kind="dots",
    title="What a coin's direction inside the network does",
    caption=(
        "Paired difference when the vector of a coin is added (control: random vectors of its "
        "norm), its component is replaced (control: as far in random directions), or the "
        "activation patched; `coin` is what the coin itself does. drift: P(move right) - P(move "
        "left). Bars: 95 % intervals over levels."
    ),
    x_title="difference to the agent as it is",
    needs="Nothing was steered; `rl-slt steer RUN` does.",
    draw=_steering,
)
