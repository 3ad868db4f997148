"""What the commands over finished runs do: each works on runs or studies alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, Study, open_path, runs_of
from rl_slt.pipeline.engine.jobs import Outcome, open_engine, workers_on
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import CompareSettings, LLCPlan, ProbePlan
from rl_slt.pipeline.stages.analyse import DamagedTable, analyse_path
from rl_slt.pipeline.stages.compare import compare_agents
from rl_slt.pipeline.stages.llc import estimate_runs
from rl_slt.pipeline.stages.probe.stage import probe_runs
from rl_slt.pipeline.stages.report import write_report


def llc(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Estimate every checkpoint of some runs and studies on shared frozen states, and their own.

    Args:
        paths: of the runs and studies.
        settings: of `LLCPlan`, laid over those of the study if it is the only path.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        0 when every estimate succeeded, else 1.
    """
    targets, runs = _open(paths)
    plan = LLCPlan.build(_study_settings(targets, "llc") | settings, "llc")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        failed = estimate_runs(runs, plan, engine)
    return _finish(targets, failed)


def probe(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Probe every checkpoint of some runs and studies; as `llc`, with settings of `ProbePlan`."""
    targets, runs = _open(paths)
    plan = ProbePlan.build(_study_settings(targets, "probe") | settings, "probe")
    with open_engine(workers, scheduler) as engine:
        failed = probe_runs(runs, plan, engine)
    return _finish(targets, failed)


def report(paths: Sequence[Path], out: Path, form: str = "html") -> Path:
    """Write the report of some runs and studies, after a new analysis of their tables.

    A run or study with a damaged table is reported as it is: the page says what cannot be read.
    """
    targets = {path: open_path(path) for path in paths}
    check_file(out)
    for target in targets.values():
        runs_of(target)
    for path, target in targets.items():
        try:
            _finish({path: target}, [])
        except DamagedTable as error:
            print(f"rl-slt: {error}; {path} is reported without a new analysis", file=sys.stderr)
    return write_report(list(paths), out, form)


def compare(
    a: Path,
    b: Path,
    out: Path,
    settings: dict[str, Any],
    steps: tuple[int | None, int | None] = (None, None),
) -> Path:
    """Compare an agent of one run with one of another and write the page that shows both runs.

    Args:
        a: the first run.
        b: the second run; may be the first.
        out: page to write.
        settings: of `CompareSettings`.
        steps: of the checkpoints; None is the last.
    """
    check_file(out)
    plan = CompareSettings.build(settings, "compare")
    with meter("compare", 1.0) as bar:
        compare_agents(a, b, plan, steps, lambda done, total: bar.update(done / total))
    return report(list(dict.fromkeys((a.resolve(), b.resolve()))), out)


def check_file(out: Path, endings: Sequence[str] = ()) -> None:
    """Raise InputError if `out` cannot be a file to write, or has none of the endings."""
    if endings and out.suffix not in endings:
        raise InputError.of("out", str(out), f"a file that ends in {' or '.join(endings)}")
    if out.is_dir():
        raise InputError.of("out", str(out), "the name of a file", "it is a folder")


def report_failures(failed: Sequence[Outcome]) -> None:
    """One line on stderr for each, and the traceback where a bug in rl-slt raised."""
    for outcome in failed:
        if outcome.trace:
            print(outcome.trace, file=sys.stderr)
        print(f"rl-slt: failed: {outcome.label}: {outcome.reason}", file=sys.stderr)


def _open(paths: Sequence[Path]) -> tuple[dict[Path, Run | Study], list[Run]]:
    """What lies at the paths, and all runs of it, each once; tables know runs by their names."""
    targets = {path: open_path(path) for path in paths}
    runs = {run.path.resolve(): run for target in targets.values() for run in runs_of(target)}
    names = [run.name for run in runs.values()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two different runs are called {twice!r}; work on them one after another")
    return targets, list(runs.values())


def _study_settings(targets: dict[Path, Run | Study], stage: str) -> dict[str, Any]:
    """The study's own settings where one study alone is named, else none."""
    (first, *others) = targets.values()
    return first.settings(stage) if isinstance(first, Study) and not others else {}


def _finish(targets: dict[Path, Run | Study], failed: Sequence[Outcome]) -> int:
    """Name what failed, bring the derived tables up to date, and give the exit status."""
    report_failures(failed)
    for path, target in targets.items():
        if isinstance(target, Study) or target.tables.is_dir():
            analyse_path(target, path)
    return 1 if failed else 0
