"""The main job, a study from its plan to its report, and its stages over runs that exist."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agents import check_device, read_json_object, write_bytes, write_json
from analysis import current_setting
from analysis import report as pages
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.plan import check_out, open_or_create, within_budget
from rl_slt.pipeline.disk.layout import Run, Study, open_path, runs_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.engine.jobs import Outcome, open_engine, workers_on
from rl_slt.pipeline.engine.progress import as_part, meter
from rl_slt.pipeline.forecast.whole import WholeStudy
from rl_slt.pipeline.plan.study import CompareSettings, LLCPlan, ProbePlan, StudyPlan
from rl_slt.pipeline.stages.analyse import DamagedTable, analyse_run, analyse_study, over_runs
from rl_slt.pipeline.stages.bayes import run_bayes
from rl_slt.pipeline.stages.compare import compare_agents
from rl_slt.pipeline.stages.llc import describe_last, estimate_runs
from rl_slt.pipeline.stages.probe import probe_all
from rl_slt.pipeline.stages.train import train_study

_LOG = logging.getLogger(__name__)

REPORT_FORMATS = ("html", "md", "json")


def run_study(
    plan: StudyPlan, out: Path, workers: int | None = None, scheduler: str | None = None,
    budget: str | None = None, seeds: str | None = None,
) -> StudyResult:  # fmt: skip
    """Train, estimate, probe and report every arm and seed of a plan, or some of its seeds.

    Nothing is printed: progress goes to the logger `rl_slt`, so that
    `logging.basicConfig(level="INFO")` shows it and without it only failures are seen.

    Args:
        plan: the study.
        out: its folder; a folder that holds the same study goes on from what is finished.
        workers: processes on this machine; None takes one per core, 0 works in this process.
        scheduler: address of a Dask scheduler, instead of `workers`.
        budget: of time, as `10m`: settings are chosen so that the study takes about as long.
        seeds: those of the plan's to work on now, as `0:2`; the others may follow later.

    Returns:
        The study's folder, report, statements and tables, and what failed.

    Raises:
        InputError: if `out` holds something else, or the plan cannot be carried out, or not
            within the budget, or has none of the seeds.
    """
    if scheduler is None:
        for arm in plan.arms:
            check_device(plan.train_config(arm, plan.seeds[0]).device)
    check_out(out)
    if seeds is not None:
        plan.part(seeds)  # refused before anything is made
    if plan.bayes is not None:
        for name, value in (("budget", budget), ("seeds", seeds)):
            if value is not None:
                raise InputError.of(name, value, "left out in a study of the posterior")
        return _run_bayes(plan, out, workers, scheduler)
    chosen = within_budget(plan, out, budget, workers, scheduler)
    plan = chosen.plan
    llc_workers = workers_on(plan.llc.device, workers, scheduler)
    failed: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        llc_engine = engine = stack.enter_context(open_engine(workers, scheduler))
        study = open_or_create(plan, out, chosen.record)
        plan = plan if seeds is None else plan.part(seeds)
        stack.enter_context(stage_lock(study.path, "run"))
        whole = WholeStudy(plan, study, engine.workers, chosen.costs)
        stack.enter_context(as_part(whole))
        with _timed(whole, "train"):
            failed += train_study(study, plan, engine)
        runs = [study.run(arm, seed) for arm in plan.arms for seed in plan.seeds]
        runs = [run for run in runs if run.exists and run.checkpoints]
        if runs:
            if llc_workers != workers:
                llc_engine = stack.enter_context(open_engine(llc_workers))
            with _timed(whole, "llc"):
                failed += estimate_runs(runs, plan.llc, llc_engine, plan.placements)
            with _timed(whole, "probe"):
                failed += probe_all(runs, plan.probe, engine)
        with _timed(whole, "report"):
            analyse_study(study, engine)
            data, page = pages.load_study(study.path), study.path / "report.html"
            write_bytes(page, pages.build_report(data).encode())
    report_failures(failed)
    return StudyResult(
        study.path, page, tuple(pages.build_summary(data)["headline"]), tuple(failed)
    )


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """What a study came to.

    Attributes:
        path: its folder.
        report: the page.
        headline: the sentences that the page begins with.
        failed: work items that did not succeed, with the reason.
    """

    path: Path
    report: Path
    headline: tuple[str, ...]
    failed: tuple[Outcome, ...]

    @functools.cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables of the study, those of its runs joined, by name (`analysis/schema.py`)."""
        return dict(pages.load_study(self.path).tables)


def _run_bayes(
    plan: StudyPlan, out: Path, workers: int | None, scheduler: str | None
) -> StudyResult:
    """A study of the posterior over weights; the arguments are those of `run_study`."""
    with open_engine(workers, scheduler) as engine:
        study = open_or_create(plan, out)
        with stage_lock(study.path, "run"):
            failed, page = run_bayes(study, plan, engine)
    report_failures(failed)
    return StudyResult(study.path, page, (), tuple(failed))


@contextlib.contextmanager
def _timed(whole: WholeStudy, stage: str) -> Iterator[None]:
    """Print how long the stage took and add it to the study's `timings.json`."""
    whole.enter(stage)
    _LOG.info("== %s ==", stage)
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - start
        whole.leave()
        path = whole.study.path / "timings.json"
        known = read_json_object(path) if path.exists() else {}
        write_json(path, known | {stage: round(known.get(stage, 0.0) + spent, 1)})
        _LOG.info("%s: %.1f s", stage, spent)


def llc(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Estimate every checkpoint of some runs and studies on shared frozen states, and their own.

    Those of the last checkpoints are logged at the end, with the file of the others.

    Args:
        paths: of the runs and studies.
        settings: of `LLCPlan`, laid over those of the study if it is the only path.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        0 when every estimate succeeded, else 1.
    """
    targets, runs, known = _open(paths, "llc")
    plan = LLCPlan.build(known | settings, "llc")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        failed = estimate_runs(runs, plan, engine)
    status = _finish(targets, failed)
    for line in describe_last(runs, plan):
        _LOG.info("%s", line)
    return status


def probe(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Probe every checkpoint of some runs and studies; as `llc`, with settings of `ProbePlan`."""
    targets, runs, known = _open(paths, "probe")
    plan = ProbePlan.build(known | settings, "probe")
    with open_engine(workers, scheduler) as engine:
        failed = probe_all(runs, plan, engine)
    return _finish(targets, failed)


def report(paths: Sequence[Path], out: Path, form: str | None = None) -> Path:
    """Write the report of some runs and studies, after a new analysis of their tables.

    A run or study with a damaged table is reported as it is: the page says what cannot be read.

    Args:
        paths: of the runs and studies.
        out: file to write.
        form: one of `REPORT_FORMATS`; None is the one that `out` ends in, else html.
    """
    targets = {path: open_path(path) for path in paths}
    check_file(out)
    for target in targets.values():
        runs_of(target)
    for path, target in targets.items():
        try:
            _finish([target], [])
        except DamagedTable as error:
            _LOG.warning("rl-slt: %s; %s is reported without a new analysis", error, path)
    ending = out.suffix[1:].lower()
    own = ending if ending in REPORT_FORMATS else "html"
    return write_report(list(paths), out, own if form is None else form)


def write_report(paths: Sequence[Path], out: Path, form: str = "html") -> Path:
    """Write the report of some runs and studies, whole or not at all.

    Raises:
        InputError: for an unknown format, or a path that is neither a run nor a study.
    """
    if form not in REPORT_FORMATS:
        raise InputError.of("format", form, f"one of {', '.join(REPORT_FORMATS)}")
    data = pages.load_study(list(paths) if len(paths) > 1 else paths[0])
    if len(paths) > 1:  # statistics over all runs, whichever studies they come from
        llc, probes, known = (data.table(name) for name in ("llc", "probes", "covariates"))
        tables = over_runs(current_setting(llc), probes, known)
        del tables["hypotheses"]  # each study has its own
        data = dataclasses.replace(data, tables=data.tables | tables)
    if form == "html":
        text = pages.build_report(data)
    elif form == "md":
        text = pages.to_markdown(pages.build_summary(data))
    else:
        text = json.dumps(pages.build_summary(data), indent=1, allow_nan=False) + "\n"
    write_bytes(out, text.encode())
    return out


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
        out: page to write, in the format that it ends in, as for `report`.
        settings: of `CompareSettings`.
        steps: of the checkpoints; None is the last.
    """
    check_file(out)
    plan = CompareSettings.build(settings, "compare")
    with meter("compare", 1.0) as bar:
        compare_agents(a, b, plan, steps, lambda done, total: bar.update(done / total))
    return report(list(dict.fromkeys((a.resolve(), b.resolve()))), out)


def check_file(out: Path | None, endings: Sequence[str] = ()) -> None:
    """Raise InputError if `out` cannot be a file to write, or has none of the endings."""
    if out is None:
        return
    if endings and out.suffix not in endings:
        raise InputError.of("out", str(out), f"a file that ends in {' or '.join(endings)}")
    if out.is_dir():
        raise InputError.of("out", str(out), "the name of a file", "it is a folder")


def report_failures(failed: Sequence[Outcome]) -> None:
    """One line on stderr for each, and the traceback where a bug in rl-slt raised."""
    for outcome in failed:
        if outcome.trace:
            _LOG.error("%s", outcome.trace)
        _LOG.error("rl-slt: failed: %s: %s", outcome.label, outcome.reason)


def _open(paths: Sequence[Path], stage: str) -> tuple[list[Run | Study], list[Run], dict[str, Any]]:
    """What lies at the paths, all its runs, each once, and the settings of a study named alone."""
    targets = [open_path(path) for path in dict.fromkeys(paths)]
    runs = {run.path.resolve(): run for target in targets for run in runs_of(target)}
    names = [run.name for run in runs.values()]  # by which tables know them
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two different runs are called {twice!r}; work on them one after another")
    (first, *others) = targets
    known = first.settings(stage) if isinstance(first, Study) and not others else {}
    return targets, list(runs.values()), known


def _finish(targets: Sequence[Run | Study], failed: Sequence[Outcome]) -> int:
    """Name what failed, bring the derived tables up to date, and give the exit status."""
    report_failures(failed)
    for target in targets:
        if isinstance(target, Study):
            analyse_study(target)
        elif target.tables.is_dir():
            analyse_run(target)
    return 1 if failed else 0
