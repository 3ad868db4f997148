"""A figure as data: panels, series and marks that go into the page as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `missing` says why it is empty, `source` names its series in tables."""

    key: str
    title: str
    unit: str
    range: tuple[float, float] | None = None
    height: int = 110
    missing: str = ""
    source: str = ""


@dataclass(frozen=True)
class Series:
    """One line or row of points in a panel.

    `role` is `mean` over seeds, `seed` for one run, or `baseline`; `colour` the index of the arm,
    or -1 for a baseline. `x` holds environment steps, names of probes or losses; `low` and `high`
    the ends of an interval; `flag` the status of an estimate; `step` the steps where x is not.
    """

    panel: str
    name: str
    role: str
    colour: int
    x: list[Any]
    y: list[float | None]
    run: str = ""
    style: str = "solid"
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)
    n: list[int | None] = field(default_factory=list)
    flag: list[str] = field(default_factory=list)
    step: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Mark:
    """A transition: place, interval, direction; `panel` empty when it belongs to no panel."""

    panel: str
    step: float
    low: float | None
    high: float | None
    kind: str
    detector: str
    series: str
    run: str


@dataclass(frozen=True)
class Figure:
    """What is needed to draw, download and describe one figure."""

    id: str
    kind: str
    title: str
    caption: str
    alt: str
    x_title: str
    panels: list[Panel]
    series: list[Series]
    marks: list[Mark] = field(default_factory=list)
    axis: dict[str, Any] = field(default_factory=dict)
    missing: str = ""
    arm: str = ""

    def as_json(self) -> dict[str, Any]:
        """The figure in JSON's own types."""
        return asdict(self)


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Floats with None for what is missing or not finite, exact to the last digit."""
    return [None if v is None or v is pd.NA or not math.isfinite(v) else float(v) for v in values]


def integers(values: Iterable[Any]) -> list[int | None]:
    """Integers with None for what is missing."""
    return [None if v is None or v is pd.NA or not np.isfinite(v) else int(v) for v in values]
