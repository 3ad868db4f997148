"""The probe stage: the goal probes of every checkpoint, each checkpoint a restartable unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agents import load_policy
from analysis import probes
from rl_slt.errors import InputError
from rl_slt.pipeline.clips import has_clips, make_clips
from rl_slt.pipeline.jobs import Engine, Job, Outcome
from rl_slt.pipeline.layout import Run, training_of
from rl_slt.pipeline.locks import stage_locks
from rl_slt.pipeline.probe_unit import ProbeUnit as Unit
from rl_slt.pipeline.progress import meter
from rl_slt.pipeline.store import UnitStore, file_digest, write_table
from rl_slt.pipeline.study import ProbePlan


def plan_suite(run: Run, plan: ProbePlan) -> probes.ProbeSuite:
    """The suite for a run: the named one on the level settings that the run was trained on.

    Raises:
        InputError: for an unknown suite, or when the probe levels were trained on.
    """
    if plan.suite not in probes.SUITES:
        allowed = ", ".join(probes.SUITES)
        raise InputError(f"unknown probe suite {plan.suite!r}; allowed: {allowed}")
    train = training_of(run)
    named = probes.SUITES[plan.suite]
    suite = dataclasses.replace(
        named, mode=plan.mode, settings=train.settings, n_levels=plan.levels or named.n_levels
    )
    probes.check_held_out(train.levels, suite.levels)
    return suite


def probe_runs(runs: Sequence[Run], plan: ProbePlan, engine: Engine) -> list[Outcome]:
    """Probe every checkpoint that is not probed yet and assemble the tables of the runs.

    Clips of each run's last checkpoint are made too, on the same displaced-coin levels in all runs.

    Returns:
        The units that failed, with their reasons.
    """
    units = [unit for run in runs for unit in _units(run, plan)]
    failed: list[Outcome] = []
    with stage_locks(runs, "probe"):
        for run in runs:
            UnitStore(run.path, "probe").sweep()
        todo = [u for u in units if not UnitStore(Path(u.run), "probe").has(u.key)]
        baselines = {u.baselines: u for u in todo}
        _share_baselines(runs, baselines)
        jobs = [
            Job(f"baselines on {u.suite.name}", make_baselines, (u,))
            for u in baselines.values()
            if not UnitStore(Path(u.run), "baselines").has(u.baselines)
        ]
        films = [_film_job(u) for u in _last(units) if not has_clips(u)]
        try:
            with meter("probes", len(todo) + len(jobs) + len(films)) as bar:
                done = 0
                for stage in (jobs, [*map(_job, todo), *films]):
                    for outcome in engine.run(stage, lambda: None):
                        done += 1
                        bar.update(done, outcome.label)
                        failed += [outcome] if outcome.reason else []
                    _share_baselines(runs, baselines)
        finally:
            for run in runs:
                assemble(run)
    return failed


def assemble(run: Run) -> None:
    """Write `episodes` and `probes` of a run from its finished units."""
    store = UnitStore(run.path, "probe")
    own = store.read("episodes")
    base = UnitStore(run.path, "baselines").read("episodes").assign(run=run.name)
    scores = store.read("probes")
    if len(own):
        own = own.sort_values(["step", "mode", "probe", "level_seed"], kind="stable")
    if len(scores):
        scores = scores.sort_values(["step", "probe", "metric"], kind="stable")
    frames = [frame for frame in (own, base) if len(frame)]
    write_table("episodes", pd.concat(frames, ignore_index=True) if frames else own, run.tables)
    write_table("probes", scores, run.tables)


def make(unit: Unit) -> None:
    """Probe one checkpoint and store its episodes and scores (called on a worker)."""
    run = Run(Path(unit.run))
    store = UnitStore(run.path, "probe")
    if store.has(unit.key):
        return
    baselines = UnitStore(run.path, "baselines").read_unit(unit.baselines, "episodes")
    episodes = probes.run_suite(
        load_policy(Path(unit.checkpoint)),
        unit.suite,
        seed=unit.seed,
        policy_name="agent",
        run=run.name,
        step=unit.step,
    )
    scores = probes.score_episodes(episodes, baselines)
    store.put(unit.key, {"episodes": episodes, "probes": scores})


def make_baselines(unit: Unit) -> None:
    """Play the baselines of a suite and store their episodes (called on a worker)."""
    episodes = probes.run_baselines(unit.suite, seed=unit.seed)
    UnitStore(Path(unit.run), "baselines").put(unit.baselines, {"episodes": episodes})


def _units(run: Run, plan: ProbePlan) -> list[Unit]:
    checkpoints = run.checkpoints
    if not checkpoints:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    suite = plan_suite(run, plan)
    return [
        Unit(
            run=str(run.path.resolve()),
            step=c.step,
            checkpoint=str(c.path.resolve()),
            weights=file_digest(c.path / "policy.safetensors"),
            suite=suite,
            seed=plan.seed,
        )
        for c in checkpoints
    ]


def _job(unit: Unit) -> Job:
    return Job(f"probes of {Path(unit.run).name} at step {unit.step}", make, (unit,))


def _film_job(unit: Unit) -> Job:
    return Job(f"clips of {Path(unit.run).name}", make_clips, (unit,))


def _last(units: Sequence[Unit]) -> list[Unit]:
    """The unit of each run's last checkpoint."""
    return list({unit.run: unit for unit in units}.values())


def _share_baselines(runs: Sequence[Run], wanted: dict[str, Unit]) -> None:
    """Give every run the baselines that one of them has: they depend on the suite alone."""
    stores = [UnitStore(run.path, "baselines") for run in runs]
    for key in wanted:
        owner = next((store for store in stores if store.has(key)), None)
        if owner is None:
            continue
        episodes = owner.read_unit(key, "episodes")
        for store in stores:
            store.put(key, {"episodes": episodes})
