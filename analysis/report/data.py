"""What a report is made from: settings and tables of some runs, and what is missing of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.words import Words, words_of


@dataclass(frozen=True)
class RunData:
    """One training run: its settings, its training curve and the clips made of it.

    `arm` is what the column `arm` of its tables says, or its settings before it has any.
    `progress` has at most the columns `step` and `ret` (mean raw return of training episodes);
    `comparisons` are those with other agents, each with the `folder` of its pictures; `warnings`
    are the transitions of the LLC that `rl-slt watch` told of, in order, if the run was `watched`.
    """

    name: str
    arm: str
    seed: int | None
    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    progress: pd.DataFrame = field(default_factory=pd.DataFrame)
    clips: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    watched: bool = False

    @property
    def train(self) -> dict[str, Any]:
        """Its training settings, empty where its settings hold none."""
        train = self.config.get("train")
        return train if isinstance(train, dict) else {}


@dataclass(frozen=True, eq=False)
class StudyData:
    """Everything a report may show; nothing here is computed, only read.

    `arms` maps the name of an arm to its settings in the order of the study; `tables` holds a frame
    (perhaps empty) for every table of `analysis.schema`, only rows of `runs` and of statistics over
    them; `missing` says in plain sentences what was not found, not readable or inconsistent;
    `fixed` holds time and sha256 of the study's file when the study started.
    """

    name: str
    question: str
    arms: dict[str, dict[str, Any]]
    runs: list[RunData]
    tables: dict[str, pd.DataFrame]
    settings: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    fixed: dict[str, str] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """The table of that name, a copy-free frame that may be empty."""
        return self.tables[name]

    @property
    def words(self) -> Words:
        """What the page calls the things of its agents' game, that of the first run."""
        games = (str(run.train.get("game", "")) for run in self.runs)
        return words_of(next(filter(None, games), ""))

    def runs_of(self, arm: str) -> list[RunData]:
        """The runs of an arm, in the order of the study."""
        return [run for run in self.runs if run.arm == arm]

    def with_arms(self) -> StudyData:
        """The same with each run's arm in its rows of all tables."""
        arms = {run.name: run.arm for run in self.runs}
        tables = {
            name: frame.assign(arm=frame["run"].map(arms).fillna(frame["arm"]).astype("string"))
            if len(frame)
            else frame
            for name, frame in self.tables.items()
        }
        return replace(self, tables=tables)
