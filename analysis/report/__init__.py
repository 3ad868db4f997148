"""Self-contained reports over the tables of a run, a study, or several of either."""

from analysis.report.data import RunData, StudyData
from analysis.report.files import read_progress
from analysis.report.load import load_study
from analysis.report.markdown import to_markdown
from analysis.report.page import build_report
from analysis.report.queries import SCORES, main_metric
from analysis.report.summary import build_summary

__all__ = [
    "SCORES",
    "RunData",
    "StudyData",
    "build_report",
    "build_summary",
    "load_study",
    "main_metric",
    "read_progress",
    "to_markdown",
]
