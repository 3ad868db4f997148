"""Self-contained reports over the tables of a run, a study, or several of either."""

from analysis.report.data import RunData, StudyData
from analysis.report.load import load_study, read_progress, return_at
from analysis.report.page.render import build_report
from analysis.report.summary import build_summary, to_markdown

__all__ = [
    "RunData",
    "StudyData",
    "build_report",
    "build_summary",
    "load_study",
    "read_progress",
    "return_at",
    "to_markdown",
]
