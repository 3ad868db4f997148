"""Volumes and steering are drawn where they were measured, and refused numbers are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import t as student

from analysis import schema
from analysis.report.figures.volume import GOAL_VOLUMES, STEERING, VOLUMES
from analysis.report.load import load_study


def table(name: str, rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    of = {"run": "end-s0", "arm": "end", "step": 1000, "states": "frozen"}
    columns = [*schema.TABLES[name]]
    return schema.conform(
        name, pd.DataFrame([of | dict(row) for row in rows]).reindex(columns=columns)
    )


def test_only_what_was_measured_is_drawn(demo: Path) -> None:
    data = load_study(demo)
    assert VOLUMES.build(data) == [] and STEERING.build(data) == []
    volumes = [
        {"quantity": "policy", "method": method, "relative_temperature": k, "free_energy": value,
         "free_energy_stderr": 0.1, "status": status}
        for method, k, value, status in (
            ("integration", 5.0, 4.2, "ok"), ("integration", 50.0, 31.0, "ok"),
            ("rays", 5.0, 4.3, "ok"), ("rays", 50.0, math.nan, "refused"),
        )
    ]  # fmt: skip
    steering = [
        {"probe": "behind", "metric": metric, "change": "replace", "value": -0.4, "ci_low": -0.6,
         "ci_high": -0.2, "n": 30, "module": "body.fc", "side": "left", "strength": 1.0}
        for metric in ("coin_rate", "length")
    ]  # fmt: skip
    data = replace(data, tables=data.tables | {
        "volume": table("volume", volumes), "steering": table("steering", steering),
    })  # fmt: skip
    (figure,) = VOLUMES.build(data)
    drawn = [(s.name, s.note, s.dash, s.x, s.y) for s in figure.series]
    assert drawn == [
        ("end", "integration", "", [5, 50], [4.2, 31.0]), ("end", "rays", "dot", [5], [4.3])
    ]  # fmt: skip
    more = [row | {"free_energy": 9.0} for row in volumes if row["relative_temperature"] == 5.0]
    both = [table("volume", rows).assign(setting_id=s) for s, rows in (("a", volumes), ("b", more))]
    (figure,) = VOLUMES.build(replace(data, tables=data.tables | {"volume": pd.concat(both)}))
    assert [s.y for s in figure.series] == [[4.2, 31.0], [4.3]]  # of the setting of more points
    (figure,) = STEERING.build(data)
    (series,) = figure.series
    assert (series.x, series.y, series.low) == (["behind coin_rate: replace"], [-0.4], [-0.6])
    other = pd.concat([table("steering", steering), table("steering", [
        row | {"module": "policy_head", "value": 0.1} for row in steering
    ])])  # fmt: skip
    (figure,) = STEERING.build(replace(data, tables=data.tables | {"steering": other}))
    assert [(x, y) for s in figure.series for x, y in zip(s.x, s.y, strict=True)] == [
        ("behind coin_rate: replace (body.fc, coin left, x 1)", -0.4),
        ("behind coin_rate: replace (policy_head, coin left, x 1)", 0.1),
    ]


def test_goals_have_a_panel_each_within_what_a_share_can_be(demo: Path) -> None:
    data = load_study(demo)
    assert GOAL_VOLUMES.build(data) == []
    goals = [
        {"quantity": goal, "method": method, "radius": radius, "keep": keep, "status": status,
         "minus_log_share": value, "minus_log_share_stderr": 0.1,
         "dof": 3 if method == "splitting" else None}
        for goal, method, radius, keep, value, status in (
            ("left-coin", "splitting", 0.3, 0.0, 0.01, "ok"),
            ("left-coin", "splitting", 3.0, 0.0, 0.45, "ok"),
            ("left-coin", "rays", 3.0, 0.0, math.nan, "refused"),
            ("left-coin", "gaussian", 3.0, 0.5, 0.09, "ok"),
        )
    ]  # fmt: skip
    (figure,) = GOAL_VOLUMES.build(
        replace(data, tables=data.tables | {"volume": table("volume", goals)})
    )
    assert [panel.title for panel in figure.panels] == [
        "Moves towards a coin on the left: its sign is kept",
        "Moves towards a coin on the left: 50% of its size is kept",
    ]
    first, second = figure.series
    assert (first.x, first.y, first.dash) == ([0.3, 3], [0.01, 0.45], "")
    assert first.high[1] == pytest.approx(0.45 + 0.1 * student.ppf(0.975, 3))  # of populations
    assert second.high[0] == pytest.approx(0.09 + 0.196, abs=1e-4)
    assert first.low[0] == 0 and (second.dash, second.y) == ("dash", [0.09])
