"""The HTML page of a report."""

from analysis.report.page.render import build_report

__all__ = ["build_report"]
