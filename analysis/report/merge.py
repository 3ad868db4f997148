"""Several studies or runs as one comparison, whose runs have distinct names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import schema
from analysis.report.data import StudyData


def merge_studies(parts: list[StudyData]) -> StudyData:
    """All of them as one; runs of equal name get their study's name, arms of equal name are one."""
    seen: set[str] = set()
    renamed = [_rename_runs(part, seen) for part in parts]
    arms: dict[str, dict[str, Any]] = {}
    for part in parts:
        arms |= {name: own | arms.get(name, {}) for name, own in part.arms.items()}
    timings: Counter[str] = Counter()
    for part in parts:
        timings.update(part.timings)
    whole = StudyData(
        name=" · ".join(dict.fromkeys(part.name for part in parts)),
        question=next((part.question for part in parts if part.question), ""),
        arms=arms,
        runs=[run for part in renamed for run in part.runs],
        tables={name: unite(name, [p.tables[name] for p in renamed]) for name in schema.TABLES},
        settings=_common_settings(parts),
        timings=dict(timings),
        missing=list(dict.fromkeys([*(m for p in renamed for m in p.missing), *_doubles(renamed)])),
    )
    return whole.with_arms()


def unite(table: str, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all frames, in the columns of the table."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return schema.empty(table)
    return schema.conform(table, pd.concat(filled, ignore_index=True))


def _rename_runs(part: StudyData, seen: set[str]) -> StudyData:
    names = {run.name: run.name for run in part.runs}
    for old in names:
        while names[old] in seen:
            names[old] = f"{part.name}/{names[old]}"
        seen.add(names[old])
    names[schema.ALL_RUNS] = f"all runs of {part.name}"
    runs = [replace(run, name=names[run.name]) for run in part.runs]
    tables = {
        name: frame.assign(run=frame["run"].map(lambda r: names.get(r, r), na_action="ignore"))
        for name, frame in part.tables.items()
    }
    return replace(part, runs=runs, tables=tables)


def _doubles(parts: list[StudyData]) -> list[str]:
    runs = [run for part in parts for run in part.runs]
    counts = Counter((run.arm, run.seed) for run in runs if run.seed is not None)
    return [
        f"Arm {arm} has several runs of seed {seed}: they count as seeds of their own, though they "
        "may be copies."
        for (arm, seed), n in sorted(counts.items())
        if n > 1
    ]


def _common_settings(parts: list[StudyData]) -> dict[str, Any]:
    first = parts[0].settings
    same = {k: v for k, v in first.items() if all(p.settings.get(k) == v for p in parts)}
    differ = sorted({k for p in parts for k in p.settings} - set(same))
    return {**same, **({"differ between studies": ", ".join(differ)} if differ else {})}
