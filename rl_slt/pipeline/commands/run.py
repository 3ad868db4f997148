"""The main job: a study from its plan to its report, going on wherever it was interrupted."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents import TEMPORARY, check_device, read_json_object, write_json
from rl_slt.errors import InputError
from rl_slt.pipeline.commands.over_runs import report_failures
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.engine.jobs import Outcome, open_engine, workers_on
from rl_slt.pipeline.plan.study import StudyPlan
from rl_slt.pipeline.stages import analyse, llc, train
from rl_slt.pipeline.stages import report as reporting
from rl_slt.pipeline.stages.probe import stage as probe


def run_study(
    plan: StudyPlan, out: Path, workers: int | None = None, scheduler: str | None = None
) -> int:
    """Train, estimate, probe and report every arm and seed of a plan.

    Args:
        plan: the study.
        out: its folder; a folder that holds the same study goes on from what is finished.
        workers: processes on this machine; None takes one per core, 0 works in this process.
        scheduler: address of a Dask scheduler, instead of `workers`.

    Returns:
        0 when every unit of work succeeded, else 1.

    Raises:
        InputError: if `out` holds something else, or the plan cannot be carried out.
    """
    if scheduler is None:
        for arm in plan.arms:
            check_device(plan.train_config(arm, plan.seeds[0]).device)
    llc_workers = workers_on(plan.llc.device, workers, scheduler)
    failed: list[Outcome] = []
    with contextlib.ExitStack() as stack:
        llc_engine = engine = stack.enter_context(open_engine(workers, scheduler))
        study = claim(plan, out)
        stack.enter_context(stage_lock(study.path, "run"))
        with _timed(study, "train"):
            failed += train.train_study(study, plan, engine)
        runs = [study.run(arm, seed) for arm in plan.arms for seed in plan.seeds]
        runs = [run for run in runs if run.exists and run.checkpoints]
        if runs:
            placements = [plan.train_config(arm, plan.seeds[0]).coin for arm in plan.arms]
            if llc_workers != workers:
                llc_engine = stack.enter_context(open_engine(llc_workers))
            with _timed(study, "llc"):
                failed += llc.estimate_runs(runs, plan.llc, llc_engine, placements)
            with _timed(study, "probe"):
                failed += probe.probe_runs(runs, plan.probe, engine)
    with _timed(study, "report"):
        analyse.analyse_study(study)
        page = reporting.write_report([study.path], study.path / "report.html")
    report_failures(failed)
    for line in reporting.result_lines(study):
        print(line)
    print(f"report: {page.resolve()}")
    return 1 if failed else 0


def claim(plan: StudyPlan, out: Path) -> Study:
    """The folder as this plan's study: new, or the same study as before.

    Raises:
        InputError: if the folder holds another study, a run, or anything else.
    """
    frozen = frozen_plan(plan)
    if (out / "study.json").exists():
        known = read_json_object(out / "study.json")
        changed = [k for k in frozen if known.get(k) != frozen[k]]
        if changed:
            raise InputError(
                f"{out} holds another study (it differs in {', '.join(changed)}); "
                "nothing was touched: choose another --out"
            )
        return Study(out)
    if out.exists() and (  # what a killed process of rl-slt began to write does not count
        not out.is_dir() or not all(path.name.startswith(TEMPORARY) for path in out.iterdir())
    ):
        raise InputError(
            f"{out} exists and holds no study; nothing was touched: choose another --out"
        )
    write_json(out / "study.json", frozen)
    return Study(out)


def frozen_plan(plan: StudyPlan) -> dict[str, Any]:
    """The plan as it stands in `study.json`, in JSON's types."""
    values = plan.as_dict() | {"llc": plan.llc.values()}
    settings = {name: values.pop(name) for name in ("base_preset", "train", "llc", "probe")}
    return values | {"settings": settings}


@contextlib.contextmanager
def _timed(study: Study, stage: str) -> Iterator[None]:
    """Print how long the stage took and add it to the study's `timings.json`."""
    print(f"== {stage} ==", file=sys.stderr, flush=True)
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - start
        path = study.path / "timings.json"
        known = read_json_object(path) if path.exists() else {}
        write_json(path, known | {stage: round(known.get(stage, 0.0) + spent, 1)})
        print(f"{stage}: {spent:.1f} s", file=sys.stderr, flush=True)
