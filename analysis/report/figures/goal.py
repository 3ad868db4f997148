"""Figure: what each arm's agents do in the probes at their last checkpoint."""

from __future__ import annotations

import pandas as pd

from analysis.report.data import StudyData
from analysis.report.figures.model import Figure, Panel, Series, integers, numbers
from analysis.report.labels import metric_title, probe_title
from analysis.report.queries import baseline_rows, probes_in_order
from analysis.report.seed_means import SHARE, over_seeds


def last_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run the rows of its last step."""
    if rows.empty:
        return rows
    return rows[rows["step"] == rows.groupby("run")["step"].transform("max")]


def baseline_of(baseline: pd.DataFrame, probe: str, metric: str) -> pd.DataFrame:
    """The baseline's rows for a probe and a metric."""
    return baseline[(baseline["probe"] == probe) & (baseline["metric"] == metric)]


def goal_figure(data: StudyData, probes: pd.DataFrame) -> Figure:
    """A row per probe, a point per arm, the coin-blind baseline as a tick."""
    last, base = last_rows(probes), baseline_rows(data)
    names = probes_in_order(last) if len(last) else []
    series = [s for i, arm in enumerate(data.arms) for s in _points(last, arm, i, names)]
    series += _baseline(base, last, names)
    panel = Panel("goal", "", "share of episodes", (0.0, 1.0), 46 * max(len(names), 1))
    return Figure(
        id="goal",
        kind="dots",
        title="What the trained agents do when the coin is moved",
        caption=(
            "Share of held-out levels at the last checkpoint in which the agent collects the coin "
            "(with no coin in the level: reaches the end). Bars are 95 % intervals. "
            + ("The ticks show a scripted policy that runs right and jumps, blind to the coin. "
               if len(base) else "")
        ),
        alt=_alt(series),
        x_title="share of episodes",
        panels=[panel],
        series=series,
        axis={"rows": [{"key": p, "title": probe_title(p), "metric": _metric(last, p)}
                       for p in names]},
        missing="" if names else "There are no probe results (tables probes, episodes).",
    )  # fmt: skip


def _metric(last: pd.DataFrame, probe: str) -> str:
    return metric_title(str(last[last["probe"] == probe]["metric"].iloc[0]))


def _points(last: pd.DataFrame, arm: str, colour: int, names: list[str]) -> list[Series]:
    mine = last[last["arm"] == arm] if len(last) else last
    if mine.empty:
        return []
    runs = [_run_points(part, str(run), arm, colour) for run, part in mine.groupby("run")]
    if len(runs) < 2:
        return runs
    present = [p for p in names if p in set(mine["probe"])]
    means = [over_seeds(mine[mine["probe"] == p]["value"], SHARE) for p in present]
    mean, low, high, n = zip(*means, strict=True)
    pooled = Series("goal", arm, "mean", colour, present, numbers(mean), low=numbers(low),
                    high=numbers(high), n=integers(n))  # fmt: skip
    return [*runs, pooled]


def _run_points(part: pd.DataFrame, run: str, arm: str, colour: int) -> Series:
    return Series(
        "goal", arm, "seed", colour, [str(p) for p in part["probe"]], numbers(part["value"]),
        run=run, low=numbers(part["ci_low"]), high=numbers(part["ci_high"]), n=integers(part["n"]),
        step=[int(s) for s in part["step"]],
    )  # fmt: skip


def _baseline(base: pd.DataFrame, last: pd.DataFrame, names: list[str]) -> list[Series]:
    rows = []
    for probe in names:
        metric = str(last[last["probe"] == probe]["metric"].iloc[0])
        mine = baseline_of(base, probe, metric)
        if len(mine):
            rows.append((probe, float(mine["value"].mean()), int(mine["n"].sum())))
    if not rows:
        return []
    x, y, n = zip(*rows, strict=True)
    return [Series("goal", "coin-blind script", "baseline", -1, list(x), numbers(y),
                   n=integers(n))]  # fmt: skip


def _alt(series: list[Series]) -> str:
    shown = [s for s in series if s.role != "seed"] or series
    parts = [
        f"{s.name}: " + ", ".join(
            f"{probe_title(x)} {y:.2f}" for x, y in zip(s.x, s.y, strict=True) if y is not None)
        for s in shown
    ]  # fmt: skip
    return "Dot plot of shares of episodes at the last checkpoint. " + ". ".join(parts) + "."
