"""The goal probes of every checkpoint."""

from collections.abc import Sequence
from importlib import import_module

from agents import Run
from rl_slt.pipeline.engine.jobs import Engine, Outcome
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.study import ProbePlan


def probe_all(runs: Sequence[Run], plan: ProbePlan, engine: Engine) -> list[Outcome]:
    """Probe every checkpoint that is not probed yet and assemble the tables of the runs.

    Returns:
        The items that failed, with their reasons.

    Raises:
        InputError: a setting of the plan changes nothing in the game of a run.
    """
    for run in runs:
        environment_of(run.training).check_probe(plan)
    failed: list[Outcome] = []
    for stage in dict.fromkeys(environment_of(run.training).probe_stage for run in runs):
        own = [run for run in runs if environment_of(run.training).probe_stage == stage]
        failed += import_module(stage).probe_runs(own, plan, engine)
    return failed
