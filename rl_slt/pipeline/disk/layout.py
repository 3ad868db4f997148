"""Where things lie on disk: a run, a study, and the paths that a user may name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents import Run, read_config, safe_name
from rl_slt.errors import InputError


@dataclass(frozen=True)
class Study:
    """Several runs that answer one question: `study.json`, `runs/`, `tables/`, `report.html`."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The frozen study configuration."""
        return read_config(self.path / "study.json")

    @property
    def runs(self) -> list[Run]:
        """Runs that exist so far, by name."""
        found = sorted(p.parent for p in (self.path / "runs").glob("*/config.json"))
        return [Run(p) for p in found]

    @property
    def tables(self) -> Path:
        """Folder of the tables over all runs."""
        return self.path / "tables"

    @property
    def wanted(self) -> list[tuple[str, int]]:
        """Every arm and seed that the study plans.

        Raises:
            InputError: if `study.json` lacks arms or seeds, or names something odd.
        """
        arms, seeds = self.config.get("arms"), self.config.get("seeds")
        if not isinstance(arms, dict) or not isinstance(seeds, list):
            raise InputError(
                f"{self.path / 'study.json'} is damaged: `arms` must be a table, `seeds` a list"
            )
        for seed in seeds:
            if type(seed) is not int or seed < 0:
                raise InputError(
                    f"{self.path / 'study.json'}: seed {seed!r} is not allowed: 0, 1, 2, ..."
                )
        return [(safe_name(arm, "arm"), seed) for arm in arms for seed in seeds]

    def settings(self, stage: str) -> dict[str, Any]:
        """The plan's settings of a stage; none where `study.json` has no such table.

        It may be from another version, or edited by hand.
        """
        known = self.config.get("settings")
        chosen = known.get(stage) if isinstance(known, dict) else None
        return chosen if isinstance(chosen, dict) else {}

    def run(self, arm: str, seed: int) -> Run:
        """The run of an arm and a seed, whether it exists or not."""
        return Run(self.path / "runs" / f"{safe_name(arm, 'arm')}-s{seed}")


def open_path(path: Path) -> Run | Study:
    """The run or study in a folder.

    Raises:
        InputError: if the folder is absent or is neither.
    """
    if not path.exists():
        raise InputError(f"no such run or study: {path}")
    if path.name in ("", ".."):  # of `rl-slt llc .`: a run has the name of its folder
        path = path.resolve()
    _check_links(path)
    if (path / "study.json").is_file():
        return Study(path)
    if (path / "config.json").is_file():
        return Run(path)
    raise InputError(
        f"{path} is neither a run (it has no config.json) nor a study (it has no study.json)"
    )


def open_run(path: Path) -> Run:
    """The run in a folder.

    Raises:
        InputError: there is none, or a study.
    """
    run = open_path(path)
    if not isinstance(run, Run):
        raise InputError(f"{path} is a study; name one of its runs")
    return run


def _check_links(folder: Path) -> None:
    """Raise InputError where anything that a command may write to is a link that leads elsewhere.

    A folder from strangers must not have us write into another one.
    """
    home = folder.resolve()
    for path in (*_places(folder), *itertools.chain(*map(_places, folder.glob("runs/*")))):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError(
                f"{path} is a link that leads out of {folder} to {path.resolve()}; "
                "nothing was touched: put the folder or file itself there"
            )


def _places(folder: Path) -> Iterator[Path]:
    """What lies in a run or study, its locks, kinds of work items, and runs."""
    for pattern in ("*", ".locks/*", "parts/*", "runs/*"):
        yield from folder.glob(pattern)


def runs_of(target: Run | Study) -> list[Run]:
    """The runs to work on: the run itself, or all runs of the study.

    Raises:
        InputError: if the study has no run yet.
    """
    if isinstance(target, Run):
        return [target]
    if not target.runs:
        raise InputError(f"study {target.path} has no run yet; `rl-slt run` makes them")
    return target.runs
