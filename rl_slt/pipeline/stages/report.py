"""The report stage: tables and clips into one page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from agents import write_bytes
from analysis import current_setting, report
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.stages.analyse import over_runs

FORMATS = ("html", "md", "json")


def write_report(paths: Sequence[Path], out: Path, form: str = "html") -> Path:
    """Write the report of some runs and studies, whole or not at all.

    Raises:
        InputError: for an unknown format, or a path that is neither a run nor a study.
    """
    if form not in FORMATS:
        raise InputError(f"unknown report format {form!r}; allowed: {', '.join(FORMATS)}")
    data = report.load_study(list(paths) if len(paths) > 1 else paths[0])
    if len(paths) > 1:
        data = _over_all(data)
    if form == "html":
        text = report.build_report(data)
    else:
        summary = report.build_summary(data)
        text = (
            report.to_markdown(summary)
            if form == "md"
            else json.dumps(summary, indent=1, allow_nan=False) + "\n"
        )
    write_bytes(out, text.encode())
    return out


def _over_all(data: report.StudyData) -> report.StudyData:
    """The data with statistics over all its runs, whichever studies they come from."""
    llc, probes, known = (data.table(name) for name in ("llc", "probes", "covariates"))
    tables = over_runs(current_setting(llc), probes, known)
    return dataclasses.replace(data, tables=data.tables | tables)


def result_lines(study: Study) -> list[str]:
    """Three lines of result: what the goals are, what the LLCs are, what is unsure."""
    summary = report.build_summary(report.load_study(study.path))
    return [str(line) for line in summary["headline"]][:3]
