"""A figure as data, panels, series and marks as JSON in the page; and the record that makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.data import StudyData


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `missing` says why it is empty, `source` names its series in tables.

    With `log` values stand at their logarithms; those that are not positive are left out.
    """

    key: str
    title: str
    y_label: str
    range: tuple[float, float] | None = None
    height: int = 110
    missing: str = ""
    source: str = ""
    log: bool = False


@dataclass(frozen=True)
class Series:
    """One line or row of points in a panel.

    `role` is `mean` over seeds, `seed` for one run, or `baseline`; `color` the index of the arm,
    or -1 for a baseline. `x` holds environment steps, names of probes or losses; `low` and `high`
    the ends of an interval; `flag` the status of an estimate; `step` the steps where x is not.
    `note` says what a second line of the same arm is, `dash` (`dash` or `dot`) how it is drawn;
    `hollow` marks points of a policy that hardly depends on the state.
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
    note: str = ""
    dash: str = ""
    hollow: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class Mark:
    """A transition: place, from where to where, direction, whether it is confirmed.

    `panel` is empty when it belongs to no panel; `status` says what is not certain of it.
    """

    panel: str
    step: float
    low: float | None
    high: float | None
    kind: str
    status: str
    series: str
    run: str


@dataclass(frozen=True)
class Figure:
    """What is needed to draw, download and describe one figure.

    Attributes:
        panels: the axes, from top to bottom.
        series: lines and points; without any, `missing` stands in the figure's place.
        alt: what is to be seen, for those who cannot see it.
        marks: transitions.
        axis: what the x axis is (`axes.step_axis`, `axes.linear_axis`), or the rows of dots.
        arm: the arm whose name is the title.
        id: of the record; where a record makes several figures, `draw` gives what follows it.
        title, caption, x_title, missing: of the record where `draw` leaves them empty.
        section, kind: of the record.
    """

    panels: list[Panel]
    series: list[Series]
    alt: str
    marks: list[Mark] = field(default_factory=list)
    axis: dict[str, Any] = field(default_factory=dict)
    arm: str = ""
    id: str = ""
    title: str = ""
    caption: str = ""
    x_title: str = ""
    missing: str = ""
    section: str = ""
    kind: str = ""


@dataclass(frozen=True)
class FigureRecord:
    """All that the report knows of a figure; `figures.FIGURES` lists the records.

    Attributes:
        id: name in the page, of letters and dashes.
        section: the section of the page that shows it, in the order of the records.
        title: heading.
        caption: what is shown and how to read it.
        needs: the sentence that stands in its place where the data are missing.
        draw: from a study to figures, reading tables only.
        kind: how the page draws it: `steps` (lines), `dots` or `path`.
        x_title: label of the x axis.
    """

    id: str
    section: str
    title: str
    caption: str
    needs: str
    draw: Callable[[StudyData], Iterable[Figure]]
    kind: str = "steps"
    x_title: str = "environment steps (log scale)"

    def build(self, data: StudyData) -> list[Figure]:
        """The figures of a study, empty ones with the reason; none where the game has no such."""
        words = data.words
        of_game = words.figures.get(self.id, ("", "", ""))
        if of_game is None:
            return []
        title, caption, x_title = of_game
        usual = self.x_title.replace("environment steps", words.steps)
        return [
            replace(
                figure,
                id=self.id + figure.id,
                title=title or figure.title or self.title,
                caption=_with_texts(caption, figure.caption, self.caption),
                x_title=x_title or figure.x_title or usual,
                alt=figure.alt.replace("environment steps", words.steps),
                missing="" if figure.series else figure.missing or self.needs,
                section=self.section,
                kind=self.kind,
            )
            for figure in self.draw(data)
        ]


def _with_texts(of_game: str, drawn: str, own: str) -> str:
    """A caption: the game's in place of the record's, also where more was drawn up around it."""
    if not of_game:
        return drawn or own
    return drawn.replace(own, of_game) if drawn else of_game


def mean_series(panel: str, arm: str, color: int, x: Iterable[Any], mean: pd.DataFrame) -> Series:
    """The mean of an arm's seeds, from the columns mean, low, high and n."""
    y, low, high = (numbers(mean[name]) for name in ("mean", "low", "high"))
    return Series(panel, arm, "mean", color, list(x), y, low=low, high=high, n=integers(mean["n"]))


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Floats with None for what is missing or not finite, exact to the last digit."""
    return [None if v is None or v is pd.NA or not math.isfinite(v) else float(v) for v in values]


def integers(values: Iterable[Any]) -> list[int | None]:
    """Integers with None for what is missing."""
    return [None if v is None or v is pd.NA or not np.isfinite(v) else int(v) for v in values]
