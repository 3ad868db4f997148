"""The command that estimates the LLC of every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.pipeline.commands.targets import finish, open_runs, study_settings
from rl_slt.pipeline.engine.jobs import open_engine, workers_on
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import estimate_runs


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

    Raises:
        InputError: a path or a setting is wrong.
    """
    targets, runs = open_runs(paths)
    plan = LLCPlan.build(study_settings([*targets.values()], "llc") | settings, "llc")
    with open_engine(workers_on(plan.device, workers, scheduler), scheduler) as engine:
        failed = estimate_runs(runs, plan, engine)
    return finish(targets, failed)
