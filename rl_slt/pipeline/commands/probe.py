"""The command that probes the goals of every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rl_slt.pipeline.commands.targets import finish, open_runs, study_settings
from rl_slt.pipeline.engine.jobs import open_engine
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.pipeline.stages.probe.stage import probe_runs


def probe(
    paths: Sequence[Path],
    settings: dict[str, Any],
    workers: int | None = None,
    scheduler: str | None = None,
) -> int:
    """Probe every checkpoint of some runs and studies; as `commands.llc.llc`, with a `ProbePlan`.

    Returns:
        0 when every checkpoint was probed, else 1.
    """
    targets, runs = open_runs(paths)
    plan = ProbePlan.build(study_settings([*targets.values()], "probe") | settings, "probe")
    with open_engine(workers, scheduler) as engine:
        failed = probe_runs(runs, plan, engine)
    return finish(targets, failed)
