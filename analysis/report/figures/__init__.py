"""The registry of the report's figures. A new one is a record in its module and a line here."""

from analysis.report.data import StudyData
from analysis.report.figures import (
    answer,
    coin,
    early,
    goal,
    llc,
    response,
    slices,
    timeline,
    volume,
)
from analysis.report.figures.model import Figure, FigureRecord, Series

FIGURES: tuple[FigureRecord, ...] = (
    goal.GOAL,
    answer.OVERVIEW,
    answer.LINK,
    coin.OVER_TRAINING,
    coin.BY_DISTANCE,
    llc.ALONG_TRAINING,
    llc.PROFILE,
    timeline.TIMELINES,
    llc.STAIRCASE,
    early.EARLY,
    response.CONTRIBUTIONS,
    response.INFLUENCES,
    response.SUSCEPTIBILITIES,
    volume.VOLUMES,
    volume.GOAL_VOLUMES,
    volume.STEERING,
    slices.NEAR,
    slices.BETWEEN,
)


def all_figures(data: StudyData) -> list[Figure]:
    """All figures of a study, in the order of the records."""
    return [figure for record in FIGURES for figure in record.build(data)]


def find_figure(data: StudyData, name: str) -> Figure:
    """The figure of that id, without the others: `llc`, `timeline-0`.

    Raises:
        StopIteration: the study has none of that id.
    """
    near = (record for record in FIGURES if name.startswith(record.id))
    return next(figure for record in near for figure in record.build(data) if figure.id == name)


__all__ = ["FIGURES", "Figure", "FigureRecord", "Series", "all_figures", "find_figure"]
