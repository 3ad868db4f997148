"""Figure: what each arm's agents do in the probes at their last checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.report import queries
from analysis.report.data import StudyData
from analysis.report.figures.model import (
    Figure,
    FigureRecord,
    Panel,
    Series,
    integers,
    mean_series,
    numbers,
)
from analysis.report.labels import metric_title, probe_title
from analysis.report.seed_means import SHARE, over_seeds


def _draw(data: StudyData) -> Iterator[Figure]:
    """A row per probe, a point per arm, the coin-blind baseline as a tick."""
    last, base = queries.last_rows(queries.main_probe_rows(data)), queries.baseline_rows(data)
    names = queries.probes_in_order(last)
    series = [s for i, arm in enumerate(data.arms) for s in _points(last, arm, i, names)]
    series += _baseline(base, last, names)
    shown = [s for s in series if s.role != "seed"] or series
    values = [
        f"{s.name}: " + ", ".join(
            f"{probe_title(x)} {y:.2f}" for x, y in zip(s.x, s.y, strict=True) if y is not None)
        for s in shown
    ]  # fmt: skip
    rows = [
        {"key": p, "title": probe_title(p), "metric": metric_title(queries.metric_of(last, p))}
        for p in names
    ]
    blind = " The ticks show a scripted policy that runs right and jumps, blind to the coin."
    yield Figure(
        [Panel("goal", "", "share of episodes", (0.0, 1.0), 46 * max(len(names), 1))],
        series,
        f"Dot plot of shares of episodes at the last checkpoint. {'. '.join(values)}.",
        axis={"rows": rows},
        caption=GOAL.caption + (blind if len(base) else ""),
    )


def _points(last: pd.DataFrame, arm: str, color: int, names: list[str]) -> list[Series]:
    mine = last[last["arm"] == arm]
    runs = [
        Series(
            "goal", arm, "seed", color, [str(p) for p in part["probe"]], numbers(part["value"]),
            run=str(run), low=numbers(part["ci_low"]), high=numbers(part["ci_high"]),
            n=integers(part["n"]), step=[int(s) for s in part["step"]],
        )
        for run, part in mine.groupby("run")
    ]  # fmt: skip
    if len(runs) < 2:
        return runs
    present = [p for p in names if p in set(mine["probe"])]
    parts = [mine[mine["probe"] == p] for p in present]
    means = [over_seeds(of["value"], SHARE, (of["ci_low"], of["ci_high"])) for of in parts]
    pooled = pd.DataFrame(means, columns=["mean", "low", "high", "n"])
    return [*runs, mean_series("goal", arm, color, present, pooled)]


def _baseline(base: pd.DataFrame, last: pd.DataFrame, names: list[str]) -> list[Series]:
    of = {p: queries.baseline_of(base, p, queries.metric_of(last, p)) for p in names}
    known = {p: rows for p, rows in of.items() if len(rows)}
    if not known:
        return []
    return [
        Series(
            "goal", "coin-blind script", "baseline", -1, list(known),
            numbers(rows["value"].mean() for rows in known.values()),
            n=integers(rows["n"].sum() for rows in known.values()),
        )
    ]  # fmt: skip


GOAL = FigureRecord(
    id="goal",
    section="answer",
    kind="dots",
    title="What the trained agents do when the coin is moved",
    caption=(
        "Share of probe levels at the last checkpoint in which the agent collects the coin "
        "(with no coin in the level: reaches the end). Bars are 95 % intervals."
    ),
    x_title="share of episodes",
    needs="There are no probe results (tables probes, episodes).",
    draw=_draw,
)
