"""The figures of a report as plain data: what is drawn, downloaded and checked is the same."""

from analysis.report.figures.collect import all_figures
from analysis.report.figures.model import Figure, Panel, Series

__all__ = ["Figure", "Panel", "Series", "all_figures"]
