"""What `rl-slt run` does with a preset that is a published experiment."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from agents import read_json_object, write_json
from rl_slt.errors import InputError
from rl_slt.experiments.experiment import Size
from rl_slt.experiments.registry import SIZES, find_experiment
from rl_slt.pipeline.commands.run import report_failures
from rl_slt.pipeline.engine.jobs import Job, Outcome, open_engine
from rl_slt.pipeline.engine.progress import meter

_LOG = logging.getLogger(__name__)

RECORD = "experiment.json"
MAX_SEED = 100_000  # trainings of an experiment have seeds of their own made from it


def run_experiment(
    name: str, out: Path, size: str | None = None, seed: int | None = None,
    workers: int | None = None, scheduler: str | None = None,
) -> int:  # fmt: skip
    """Make what is missing of an experiment, and its report.

    Args:
        name: of `rl_slt.experiments.registry.EXPERIMENTS`.
        out: its folder; one that holds the same experiment goes on from what is finished.
        size: one of `SIZES`; None is `default`.
        seed: the first of its seeds; None is 0.
        workers: as for `open_engine`.
        scheduler: as for `open_engine`.

    Returns:
        0 when every part succeeded, else 1.

    Raises:
        InputError: `out` holds something else, or a setting cannot be.
    """
    record = _record(name, out, size, seed)
    experiment, failed = find_experiment(name), list[Outcome]()
    stages = experiment.stages(_size(size), seed or 0)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(workers, scheduler))
        write_json(out / RECORD, record)
        bar = stack.enter_context(meter(name, sum(map(len, stages))))
        done = 0
        for stage in stages:
            todo = [part for part in stage if not part.path(out).exists()]
            done += len(stage) - len(todo)
            bar.update(done)
            jobs = [Job(f"{part.table} of {part.name}", part.make, (out,)) for part in todo]
            for outcome in engine.run(jobs, lambda: None):
                done += 1
                bar.update(done, outcome.label)
                failed += [outcome] if outcome.reason else []
            if failed:  # later stages read what this one leaves
                break
    report_failures(failed)
    if failed:
        return 1
    path, page = experiment.report(out, _size(size), seed or 0)
    for line in page.statements:
        print(line)
    print(f"report: {path.resolve()}")
    return 0


def describe_experiment(name: str, out: Path, size: str | None, seed: int | None) -> list[str]:
    """Lines about what `run_experiment` would compute; nothing is written.

    Raises:
        InputError: it would refuse.
    """
    _record(name, out, size, seed)
    experiment = find_experiment(name)
    lines = [f"experiment {name} in {out}: {experiment.question}"]
    for number, stage in enumerate(experiment.stages(_size(size), seed or 0), start=1):
        done = sum(part.path(out).exists() for part in stage)
        tables = ", ".join(sorted({part.table for part in stage}))
        lines.append(f"  stage {number}: {len(stage)} parts ({tables}), {done} done before")
    return lines


def _size(size: str | None) -> Size:
    if size not in (None, *SIZES):
        raise InputError.of("size", size, f"one of {', '.join(SIZES)}")
    return "default" if size is None else size  # type: ignore[return-value]  # checked


def _record(name: str, out: Path, size: str | None, seed: int | None) -> dict[str, object]:
    """What the folder is to hold, where it is new or holds just that."""
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise InputError.of("seed", seed, f"an integer from 0 to {MAX_SEED:,}")
    record: dict[str, object] = {"experiment": name, "size": _size(size), "seed": seed or 0}
    path = out / RECORD
    if path.exists():
        if (known := read_json_object(path)) != record:
            changed = ", ".join(key for key in record if known.get(key) != record[key])
            raise InputError(f"{out} holds another experiment (it differs in {changed})")
        _LOG.info("going on in %s", out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} exists and holds no experiment; nothing was touched: choose another --out"
        )
    return record
