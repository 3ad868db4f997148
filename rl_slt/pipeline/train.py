"""The training stage: every arm and seed of a study, as many at a time as there are workers."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agents
from rl_slt.pipeline.jobs import Engine, Job, Outcome
from rl_slt.pipeline.layout import Run, Study
from rl_slt.pipeline.progress import Meter, meter
from rl_slt.pipeline.study import StudyPlan, build


def train_study(study: Study, plan: StudyPlan, engine: Engine) -> list[Outcome]:
    """Train every run of the study that is not finished; returns what failed."""
    jobs, paths = [], []
    for seed in plan.seeds:
        for arm in plan.arms:
            run, config = study.run(arm, seed), plan.train_config(arm, seed)
            paths.append((run, config.total_steps))
            if not agents.is_finished(run.path):
                label = f"training of {run.name}"
                jobs.append(Job(label, train_one, (dataclasses.asdict(config), str(run.path), arm)))
    if not jobs:
        return []
    failed = []
    with meter("training", sum(steps for _, steps in paths)) as bar:
        for outcome in engine.run(jobs, _follow(bar, paths)):
            if outcome.reason:
                failed.append(outcome)
    return failed


def train_one(config: dict[str, Any], path: str, arm: str) -> None:
    """Train one run, or go on with it (called on a worker)."""
    agents.train(build(agents.TrainConfig, config, arm), Path(path), resume=True)


def steps_done(run: Run) -> int:
    """Environment steps that the run's progress table tells of."""
    try:
        with (run.path / "progress.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return int(float(rows[-1]["step"])) if rows else 0
    except (OSError, KeyError, ValueError):
        return 0


def _follow(bar: Meter, paths: list[tuple[Run, int]]) -> Callable[[], None]:
    def tick() -> None:
        done = [min(steps, steps_done(run)) for run, steps in paths]
        busy = sum(0 < d < steps for d, (_, steps) in zip(done, paths, strict=True))
        bar.update(sum(done), f"{busy} under way" if busy else "")

    return tick
