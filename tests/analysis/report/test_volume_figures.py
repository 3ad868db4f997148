"""Volumes and steering are drawn where they were measured, and refused numbers are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis import schema
from analysis.report.figures.volume import STEERING, VOLUMES
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
         "ci_high": -0.2, "n": 30}
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
    (figure,) = STEERING.build(data)
    (series,) = figure.series
    assert (series.x, series.y, series.low) == (["behind coin_rate: replace"], [-0.4], [-0.6])
