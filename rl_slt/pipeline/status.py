"""What is done, running, failed and missing in a run or study."""

from __future__ import annotations

from pathlib import Path

import agents
from analysis import schema
from rl_slt.errors import InputError
from rl_slt.pipeline.analyse import table_of
from rl_slt.pipeline.layout import Run, Study, open_path, read_json_object, training_of
from rl_slt.pipeline.locks import holder
from rl_slt.pipeline.train import steps_done


def describe(path: Path) -> list[str]:
    """Lines for people about a run or a study.

    Raises:
        InputError: if the path is neither.
    """
    target = open_path(path)
    if isinstance(target, Run):
        return describe_run(target)
    lines = [f"study {target.path}"]
    busy = holder(target.path, "run")
    if busy:
        lines.append(f"  running: {busy}")
    for arm, seed in target.wanted:
        run = target.run(arm, seed)
        known = (run.path / "config.json").exists()
        lines += describe_run(run) if known else [f"run {run.name}: missing, not begun"]
    page = target.path / "report.html"
    lines.append(f"report: {page}" if page.exists() else "report: missing")
    lines += _timings(target)
    return lines


def describe_run(run: Run) -> list[str]:
    """Lines about one run: training, estimates, probes, and what failed."""
    lines = [f"run {run.name}"]
    lines.append(f"  training: {_training(run)}")
    steps = [c.step for c in run.checkpoints]
    lines.append(
        f"  checkpoints: {len(steps)}" + (f", last at step {steps[-1]:,}" if steps else "")
    )
    for stage, table in (("llc", "llc"), ("probe", "episodes")):
        busy = holder(run.path, stage)
        lines.append(
            f"  {stage}: {_coverage(run, table, steps)}{', running: ' + busy if busy else ''}"
        )
    llc = table_of(run, "llc")
    for row in llc[llc["status"] != "ok"].itertuples():
        lines.append(
            f"    {row.status}: step {row.step:,} {row.loss} on {row.states}: {row.message}"
        )
    return lines


def _training(run: Run) -> str:
    if run.config.get("kind") == "import":
        return "imported"
    try:
        total = training_of(run).total_steps
    except InputError as error:
        return f"unknown ({error})"
    if agents.is_finished(run.path):
        return f"done, {total:,} steps"
    busy = holder(run.path, "train")
    return f"{'running' if busy else 'not finished'}, {steps_done(run):,} of {total:,} steps"


def _coverage(run: Run, table: str, steps: list[int]) -> str:
    frame = table_of(run, table) if table in schema.TABLES else None
    if frame is None or frame.empty:
        return "missing"
    have = set(frame["step"].dropna().astype(int)) & set(steps)
    missing = len(steps) - len(have)
    return f"{len(have)} of {len(steps)} checkpoints" + (f", {missing} missing" if missing else "")


def _timings(study: Study) -> list[str]:
    path = study.path / "timings.json"
    if not path.exists():
        return []
    spent = ", ".join(
        f"{stage} {seconds:.0f} s" for stage, seconds in read_json_object(path).items()
    )
    return [f"time spent: {spent}"]
