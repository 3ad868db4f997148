"""The probe stage: the goal probes of every checkpoint, each checkpoint a restartable unit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from agents import load_policy
from analysis import probes
from envs import find_game
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.locks import stage_locks
from rl_slt.pipeline.disk.store import StageItems, UnitStore, clear_leftovers, file_digest
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome, attempt
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import ProbePlan
from rl_slt.pipeline.stages.probe.clips import has_clips, make_clips
from rl_slt.pipeline.stages.probe.fixed_states import collect_states, has_inner, make_inner
from rl_slt.pipeline.stages.probe.plot import draw_probes
from rl_slt.pipeline.stages.probe.tables import assemble
from rl_slt.pipeline.stages.probe.work_item import ProbeUnit as Unit
from rl_slt.pipeline.stages.probe.work_item import states_key
from rl_slt.versions import STAGES

ITEMS = StageItems("probe", "probes", ("probe",), per_checkpoint=True)
_STATES = 100  # levels behind the counterfactual and internal probes, where not said otherwise


def plan_suite(run: Run, plan: ProbePlan) -> probes.ProbeSuite:
    """The suite for a run: the named one on the level settings that the run was trained on.

    The limit of an episode is the suite's or the plan's, never that of training: an agent knows no
    time, and runs trained under different limits must be probed alike.

    Raises:
        InputError: for an unknown suite, another game, or probe levels that were trained on.
    """
    if plan.suite not in probes.SUITES:
        allowed = ", ".join(probes.SUITES)
        raise InputError(f"unknown probe suite {plan.suite!r}; allowed: {allowed}")
    train = run.training
    if not find_game(train.game).has_probes:
        raise InputError(f"run {run.path} plays {train.game!r}, which has no probe suites")
    named = probes.SUITES[plan.suite]
    suite = dataclasses.replace(
        named, mode=plan.mode, settings=train.settings, n_levels=plan.levels or named.n_levels,
        time_limit=plan.time_limit or named.time_limit,
    )  # fmt: skip
    probes.check_held_out(train.levels, suite.levels)
    return suite


def probe_runs(runs: Sequence[Run], plan: ProbePlan, engine: Engine) -> list[Outcome]:
    """Probe every checkpoint that is not probed yet and assemble the tables of the runs.

    First what all checkpoints share (baselines, states), then the checkpoints, then clips of each
    run's last one; at the end `probes.png` of each run, and of a study over its runs.

    Returns:
        The units that failed, with their reasons.
    """
    cache = runs[0].path.resolve() / "parts" / "states" if runs else Path()
    units = [unit for run in runs for unit in _units(run, plan, cache)]
    failed: list[Outcome] = []
    with stage_locks(runs, "probe"):
        for run in runs:
            clear_leftovers(run.path)
        todo = [u for u in units if not _is_done(u)]
        baselines = {u.baselines: u for u in units}
        _share_baselines(runs, baselines)
        films = [_film_job(u) for u in _last(units) if not has_clips(u)]
        stages = [_shared_jobs(todo, baselines), [_job(unit) for unit in todo], films]
        try:
            with meter("probes", sum(map(len, stages))) as bar:
                done = 0
                for stage in stages:
                    for outcome in engine.run(stage, lambda: None):
                        done += 1
                        bar.update(done, outcome.label)
                        failed += [outcome] if outcome.reason else []
                    _share_baselines(runs, baselines)
        finally:
            for run in runs:
                own = [unit for unit in units if unit.run == str(run.path.resolve())]
                failed += attempt(f"probe tables of {run.name}", assemble, run, own)
        draw_probes(runs, anew=bool(todo))
    return failed


def make(unit: Unit) -> None:
    """Probe one checkpoint and store its episodes and scores (called on a worker)."""
    run = Run(Path(unit.run))
    store = UnitStore(run.path, "probe")
    if not store.has(unit.key):
        baselines = UnitStore(run.path, "baselines").read_unit(unit.baselines, "episodes")
        episodes = probes.run_suite(
            load_policy(Path(unit.checkpoint)), unit.suite, seed=unit.seed, policy_name="agent",
            run=run.name, step=unit.step,
        )  # fmt: skip
        scores = probes.score_episodes(episodes, baselines)
        same: dict[str, str | int] = {
            "setting_id": unit.baselines,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "version": STAGES["probe"],
        }
        tables = {"episodes": episodes.assign(**same), "probes": scores.assign(**same)}
        store.put(unit.key, tables)
    make_inner(unit)


def make_baselines(unit: Unit) -> None:
    """Play the baselines of a suite and store their episodes (called on a worker)."""
    episodes = probes.run_baselines(unit.suite, seed=unit.seed)
    episodes = episodes.assign(setting_id=unit.baselines, version=STAGES["probe"])
    UnitStore(Path(unit.run), "baselines").put(unit.baselines, {"episodes": episodes})


def _units(run: Run, plan: ProbePlan, cache: Path) -> list[Unit]:
    checkpoints = run.checkpoints
    if not checkpoints:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    suite = plan_suite(run, plan)
    states = min(_STATES, suite.n_levels) if plan.states is None else plan.states
    return [
        Unit(
            run=str(run.path.resolve()),
            step=c.step,
            checkpoint=str(c.path.resolve()),
            weights=file_digest(c.path / "policy.safetensors"),
            suite=suite,
            seed=plan.seed,
            states=states,
            states_file=str(cache / f"probe-{states_key(suite, states)}.npz"),
        )
        for c in checkpoints
    ]


def _is_done(unit: Unit) -> bool:
    return UnitStore(Path(unit.run), "probe").has(unit.key) and has_inner(unit)


def _shared_jobs(todo: Sequence[Unit], baselines: dict[str, Unit]) -> list[Job]:
    """What the units to do have in common, each once."""
    wanted = {unit.baselines for unit in todo}
    jobs = [
        Job(f"baselines on {u.suite.name}", make_baselines, (u,))
        for key, u in baselines.items()
        if key in wanted and not UnitStore(Path(u.run), "baselines").has(key)
    ]
    files = {u.states_file: u for u in todo if not has_inner(u)}
    missing = [u for file, u in files.items() if not Path(file).exists()]
    return jobs + [Job("states of the inner probes", collect_states, (u,)) for u in missing]


def _job(unit: Unit) -> Job:
    return Job(f"probes of {Path(unit.run).name} at step {unit.step}", make, (unit,), unit.run)


def _film_job(unit: Unit) -> Job:
    return Job(f"clips of {Path(unit.run).name}", make_clips, (unit,), unit.run)


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
