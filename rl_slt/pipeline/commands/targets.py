"""The runs and studies that a command works on, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study, open_path, runs_of
from rl_slt.pipeline.engine.jobs import Outcome
from rl_slt.pipeline.stages.analyse import analyse_path


def open_runs(paths: Sequence[Path]) -> tuple[dict[Path, Run | Study], list[Run]]:
    """What lies at the paths, and all runs of it, each once.

    Raises:
        InputError: a path is neither run nor study, or two runs have one name: tables and failures
            tell runs apart by their names.
    """
    targets = {path: open_path(path) for path in paths}
    runs = {run.path.resolve(): run for target in targets.values() for run in runs_of(target)}
    names = [run.name for run in runs.values()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two different runs are called {twice!r}; work on them one after another")
    return targets, list(runs.values())


def open_run(path: Path) -> Run:
    """The run in a folder.

    Raises:
        InputError: there is none, or a study.
    """
    run = open_path(path)
    if not isinstance(run, Run):
        raise InputError(f"{path} is a study; name one of its runs")
    return run


def study_settings(targets: Sequence[Run | Study], stage: str) -> dict[str, Any]:
    """The settings of a stage in the study's own plan, where one study alone is named; else none.

    `study.json` may be from another version or edited by hand: what is no table counts as none.
    """
    study = targets[0] if len(targets) == 1 else None
    known = study.config.get("settings") if isinstance(study, Study) else None
    chosen = known.get(stage) if isinstance(known, dict) else None
    return chosen if isinstance(chosen, dict) else {}


def finish(targets: dict[Path, Run | Study], failed: Sequence[Outcome]) -> int:
    """Name what failed, bring the derived tables up to date, and give the exit status."""
    report_failures(failed)
    for path, target in targets.items():
        if isinstance(target, Study) or target.tables.is_dir():
            analyse_path(target, path)
    return 1 if failed else 0


def report_failures(failed: Sequence[Outcome]) -> None:
    """One line on stderr for each, and the traceback where a bug in rl-slt raised."""
    for outcome in failed:
        if outcome.trace:
            print(outcome.trace, file=sys.stderr)
        print(f"rl-slt: failed: {outcome.label}: {outcome.reason}", file=sys.stderr)


def check_file(out: Path, endings: Sequence[str] = ()) -> None:
    """Raise InputError if `out` cannot be a file to write, or has none of the endings."""
    if endings and out.suffix not in endings:
        raise InputError.of("out", str(out), f"a file that ends in {' or '.join(endings)}")
    if out.is_dir():
        raise InputError.of("out", str(out), "the name of a file", "it is a folder")
