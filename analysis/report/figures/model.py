"""A figure as data, panels, series and marks as JSON in the page; and the record that makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.data import StudyData


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `missing` says why it is empty, `source` names its series in tables."""

    key: str
    title: str
    y_label: str
    range: tuple[float, float] | None = None
    height: int = 110
    missing: str = ""
    source: str = ""


@dataclass(frozen=True)
class Series:
    """One line or row of points in a panel.

    `role` is `mean` over seeds, `seed` for one run, or `baseline`; `color` the index of the arm,
    or -1 for a baseline. `x` holds environment steps, names of probes or losses; `low` and `high`
    the ends of an interval; `flag` the status of an estimate; `step` the steps where x is not.
    """

    panel: str
    name: str
    role: str
    color: int
    x: list[Any]
    y: list[float | None]
    run: str = ""
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
    """What is needed to draw, download and describe one figure, and the section it stands in."""

    id: str
    section: str
    kind: str
    title: str
    caption: str
    alt: str
    x_title: str
    panels: list[Panel]
    series: list[Series]
    marks: list[Mark]
    axis: dict[str, Any]
    missing: str
    arm: str

    def as_json(self) -> dict[str, Any]:
        """The figure in JSON's own types."""
        return asdict(self)


@dataclass(frozen=True)
class Drawing:
    """What a record draws of a study; texts that are empty here are the record's.

    Attributes:
        panels: the axes, from top to bottom.
        series: lines and points; without any, the figure is replaced by what it needs.
        alt: what is to be seen, for those who cannot see it.
        marks: transitions.
        axis: what the x axis is (`axes.step_axis`, `axes.linear_axis`), or the rows of dots.
        suffix: put after the id where one record makes several figures.
        title: of this figure alone.
        lead: put before the caption.
        note: put after the caption.
        x_title: of this figure alone.
        missing: why there is nothing to draw.
        arm: the arm whose name is the title.
    """

    panels: list[Panel]
    series: list[Series]
    alt: str
    marks: list[Mark] = field(default_factory=list)
    axis: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""
    title: str = ""
    lead: str = ""
    note: str = ""
    x_title: str = ""
    missing: str = ""
    arm: str = ""


@dataclass(frozen=True)
class FigureRecord:
    """All that the report knows of a figure; `figures.FIGURES` lists the records.

    Attributes:
        id: name in the page, of letters and dashes.
        section: the section of the page that shows it, in the order of the records.
        kind: how the page draws it: `steps` (lines), `dots` or `path`.
        title: heading.
        caption: what is shown and how to read it.
        x_title: label of the x axis.
        needs: the sentence that stands in its place where the data are missing.
        draw: from a study to drawings, reading tables only.
    """

    id: str
    section: str
    kind: str
    title: str
    caption: str
    x_title: str
    needs: str
    draw: Callable[[StudyData], Iterable[Drawing]]

    def build(self, data: StudyData) -> list[Figure]:
        """The figures of a study, empty ones with the reason."""
        return [
            Figure(
                id=self.id + drawn.suffix,
                section=self.section,
                kind=self.kind,
                title=drawn.title or self.title,
                caption=" ".join(filter(None, (drawn.lead, self.caption, drawn.note))),
                alt=drawn.alt,
                x_title=drawn.x_title or self.x_title,
                panels=drawn.panels,
                series=drawn.series,
                marks=drawn.marks,
                axis=drawn.axis,
                missing="" if drawn.series else drawn.missing or self.needs,
                arm=drawn.arm,
            )
            for drawn in self.draw(data)
        ]


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Floats with None for what is missing or not finite, exact to the last digit."""
    return [None if v is None or v is pd.NA or not math.isfinite(v) else float(v) for v in values]


def integers(values: Iterable[Any]) -> list[int | None]:
    """Integers with None for what is missing."""
    return [None if v is None or v is pd.NA or not np.isfinite(v) else int(v) for v in values]
