"""The work of a study as tasks: how many there are, what is done, and how long the rest takes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agents import Run
from analysis import probes
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.disk.store import ItemStore
from rl_slt.pipeline.engine.work import evenly, kept_steps
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.forecast.costs import Costs
from rl_slt.pipeline.plan.study import StudyPlan
from rl_slt.pipeline.stages.llc import (
    plan_estimates,
    plan_profiles,
    profile_plan,
    series_read,
)
from rl_slt.pipeline.stages.probe.items import PARTS
from rl_slt.pipeline.states import parse_states
from rl_slt.profile import SHARE

STAGES = ("train", "llc", "probe", "report")
_LOOKED_UP = 8000  # training levels where there are all: as `probes.met_rows`


class Task(NamedTuple):
    """One job of a stage.

    Attributes:
        stage: one of `STAGES`.
        round: its jobs of one round run side by side, after those of the round before.
        what: the kind, in the plural.
        seconds: on one core; 0 where costs are not known.
        left: share that is not done yet.
    """

    stage: str
    round: int
    what: str
    seconds: float
    left: float


@dataclass(frozen=True)
class Forecast:
    """The work of a study and about how long it takes.

    Attributes:
        tasks: all of it.
        workers: jobs at a time.
        wait: seconds that pass for one of work.
    """

    tasks: tuple[Task, ...]
    workers: int = 1
    wait: float = 1.0

    def of(self, stage: str) -> Forecast:
        """The part of one stage."""
        return Forecast(tuple(t for t in self.tasks if t.stage == stage), self.workers, self.wait)

    def count(self, what: str = "") -> tuple[int, int]:
        """How many tasks, of one kind or all, are done, and how many there are."""
        tasks = [task for task in self.tasks if what in ("", task.what)]
        return sum(task.left == 0 for task in tasks), len(tasks)

    @property
    def seconds(self) -> float:
        """Seconds until all is done: the rounds one after another, each on all workers."""
        rounds: dict[tuple[str, int], list[float]] = {}
        for task in self.tasks:
            rounds.setdefault((task.stage, task.round), []).append(task.seconds * task.left)
        return self.wait * sum(makespan(each, self.workers) for each in rounds.values())


def makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last job is over, each given to the first worker that is free.

    Args:
        seconds: of the jobs, in their order.
        workers: how many.
    """
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def forecast(
    plan: StudyPlan, costs: Costs | None = None, study: Study | None = None, workers: int = 1
) -> Forecast:
    """The work of a plan.

    Args:
        plan: the study.
        costs: of its work; without them times are 0.
        study: where some of it may be done.
        workers: jobs at a time.
    """
    runs = {(arm, seed): study.run(arm, seed) if study else None
            for seed in plan.seeds for arm in plan.arms}  # fmt: skip
    known = {key: run if run and run.exists else None for key, run in runs.items()}
    tasks = [*_training(plan, known, costs), *_llc(plan, known, costs), *_probe(plan, known, costs)]
    over = study is not None and (study.path / "report.html").exists()
    left = 0.0 if over and not any(task.left for task in tasks) else 1.0
    seconds = costs.report * len(runs) if costs else 0.0
    tasks.append(Task("report", 0, "report", seconds, left))
    return Forecast(tuple(tasks), workers, costs.wait if costs else 1.0)


_Runs = dict[tuple[str, int], Run | None]


def _training(plan: StudyPlan, runs: _Runs, costs: Costs | None) -> Iterator[Task]:
    for (arm, seed), run in runs.items():
        total = plan.train_config(arm, seed).total_steps
        done = 0 if run is None else total if run.finished else min(run.steps_done, total - 1)
        seconds = costs.run + total * costs.step if costs else 0.0
        yield Task("train", 0, "runs", seconds, 1 - done / total)


def _llc(plan: StudyPlan, runs: _Runs, costs: Costs | None) -> Iterator[Task]:
    llc, own = plan.llc, profile_plan(plan.llc)
    first, steps = str(parse_states(llc.states[0])), llc.burn_in + llc.draws
    profiles, estimates = [], []
    for (arm, seed), run in runs.items():
        train = plan.train_config(arm, seed)
        read = series_read(train, llc, sorted(plan.placements))
        series = [(loss, parse_states(text), entropy) for loss, text, entropy in read]
        made: set[tuple[Any, ...]] = set()
        kept = evenly(train.checkpoint_steps, llc.checkpoints)
        if run is not None and run.checkpoints:
            kept = kept_steps(run, llc.checkpoints)
            items = plan_estimates(run, llc, sorted(plan.placements))
            made |= {(e.step, e.loss, e.states.name, e.entropy)
                     for e in items if e.store.has(e.key)}  # fmt: skip
            made |= {(p.step, p.estimate.loss)
                     for p in plan_profiles(items, llc) if p.store.has(p.key)}  # fmt: skip
        profiled = evenly(kept, llc.most(llc.profile_of)) if llc.profile else []
        controlled = evenly(kept, llc.most(llc.match_entropy_of))
        collecting = costs.state * llc.n_states if costs else 0.0  # of the frozen states
        for step in profiled:
            for loss in llc.losses:
                further = SHARE * (len(llc.profile) - 1)
                seconds = costs.of_estimate(loss, (1 + further) * steps) if costs else 0.0
                left = float((step, loss) not in made)
                profiles.append(Task("llc", 0, "profiles", seconds + collecting, left))
                collecting = 0.0
        for step in kept:
            for loss, states, entropy in series:
                if entropy is not None and step not in controlled:
                    continue
                seconds = costs.of_estimate(loss, steps) if costs else 0.0
                if costs and states.own:
                    seconds += costs.state * llc.n_states
                if own == llc and step in profiled and (str(states), entropy) == (first, None):
                    seconds = 0.0  # the profile begins with it
                left = float((step, loss, str(states), entropy) not in made)
                estimates.append(Task("llc", 0, "estimates", seconds + collecting, left))
                collecting = 0.0
    return iter((*profiles, *estimates))


def _probe(plan: StudyPlan, runs: _Runs, costs: Costs | None) -> Iterator[Task]:
    """What lies on disk counts by its number, whichever settings of probes it has."""
    suite = probes.SUITES[plan.probe.suite]
    configs = [plan.train_config(arm, seed) for arm, seed in runs]
    played = environment_of(configs[0]).probes is None
    levels = (plan.probe.levels or suite.n_levels) if played else 1
    shared = len({(config.settings, config.levels) for config in configs}) if played else 0
    stores = [{kind: len(ItemStore(run.path, kind).keys()) if run else 0
               for kind in ("baselines", "probe")} for run in runs.values()]  # fmt: skip
    tasks = []
    for config, store, run in zip(configs, stores, runs.values(), strict=True):
        n = len(evenly(config.checkpoint_steps, plan.probe.checkpoints))
        done = min(n, store["probe"])
        seconds = costs.level * levels if costs else 0.0
        tasks += [
            Task("probe", 1, "checkpoints probed", seconds, float(k >= done)) for k in range(n)
        ]
        filmed = run is not None and (run.path / "clips" / "item.json").exists()
        seconds = costs.clips if costs else 0.0
        tasks.append(Task("probe", 2, "runs filmed", seconds, float(not filmed or done < n)))
    over = not any(task.left for task in tasks)
    low, high = configs[0].levels or (0, _LOOKED_UP)
    known = max(store["baselines"] for store in stores)
    for k in range(shared):
        seconds = costs.layout * (high - low) if costs else 0.0
        yield Task("probe", 0, "layouts", seconds, float(not over))
        parts = min(PARTS, levels) if played else 1
        seconds = costs.baseline * levels / parts if costs else 0.0
        yield from [Task("probe", 0, "parts of baselines", seconds, float(k >= known))] * parts
    yield from tasks
