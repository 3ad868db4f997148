"""What the commands over finished runs do: each works on runs or studies alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.errors import InputError
from rl_slt.pipeline.commands.run import report_failure
from rl_slt.pipeline.disk.layout import Run, Study, open_path, runs_of
from rl_slt.pipeline.engine.jobs import Outcome, open_engine, workers_on
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.settings import build
from rl_slt.pipeline.plan.study import LLCPlan, ProbePlan
from rl_slt.pipeline.stages.analyse import DamagedTable, analyse_path
from rl_slt.pipeline.stages.compare import CompareSettings, compare_agents
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

    A study's own settings are the default for its runs.

    Returns:
        0 when every estimate succeeded, else 1.
    """
    targets, runs = _open(paths)
    plan = build(LLCPlan, _defaults(targets, "llc") | settings, "llc")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        failed = estimate_runs(runs, plan, engine)
    return _finish(targets, failed)


def probe(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Probe every checkpoint of some runs and studies.

    Returns:
        0 when every unit succeeded, else 1.
    """
    targets, runs = _open(paths)
    plan = build(ProbePlan, _defaults(targets, "probe") | settings, "probe")
    with open_engine(workers, scheduler) as engine:
        failed = probe_runs(runs, plan, engine)
    return _finish(targets, failed)


def report(paths: Sequence[Path], out: Path, form: str = "html") -> Path:
    """Write the report of some runs and studies, with fresh transitions and associations.

    A run or study with a damaged table is reported as it is: the page says what cannot be read.
    """
    targets = {path: open_path(path) for path in paths}
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a file")
    for target in targets.values():
        runs_of(target)
    for path, target in targets.items():
        try:
            _analyse({path: target})
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
    """Compare an agent of one run with one of another and write the page that shows both runs."""
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give the name of a file")
    plan = CompareSettings.build(settings, "compare")
    with meter("compare", 1.0) as bar:
        compare_agents(a, b, plan, steps, lambda done, total: bar.update(done / total))
    paths = list(dict.fromkeys((a.resolve(), b.resolve())))
    return report(paths, out)


def _open(paths: Sequence[Path]) -> tuple[dict[Path, Run | Study], list[Run]]:
    targets = {path: open_path(path) for path in paths}
    runs: dict[Path, Run] = {}
    for target in targets.values():
        runs |= {run.path.resolve(): run for run in runs_of(target)}
    names = [run.name for run in runs.values()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two different runs are called {twice!r}; work on them one after another")
    return targets, list(runs.values())


def _defaults(targets: dict[Path, Run | Study], stage: str) -> dict[str, Any]:
    """The study's own settings where one study alone is named, else none."""
    (first, *others) = targets.values()
    if others or isinstance(first, Run):
        return {}
    known = first.config.get("settings", {})
    chosen = known.get(stage, {}) if isinstance(known, dict) else {}
    return dict(chosen) if isinstance(chosen, dict) else {}


def _finish(targets: dict[Path, Run | Study], failed: list[Outcome]) -> int:
    """Name what failed, bring the derived tables up to date, and give the exit status."""
    for outcome in failed:
        report_failure(outcome)
    _analyse(targets)
    return 1 if failed else 0


def _analyse(targets: dict[Path, Run | Study]) -> None:
    for path, target in targets.items():
        if isinstance(target, Study) or (path / "tables").is_dir():
            analyse_path(target, path)
