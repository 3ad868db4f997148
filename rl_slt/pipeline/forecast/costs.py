"""What the work of a study costs on this machine: a miniature of it is computed and timed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import agents
from agents import Run, write_json
from analysis import report
from envs import keep_freed_memory
from rl_slt.pipeline.disk.layout import Study
from rl_slt.pipeline.environments import environment_of
from rl_slt.pipeline.plan.study import StudyPlan
from rl_slt.pipeline.stages import llc
from rl_slt.pipeline.stages.analyse import analyse_study
from rl_slt.pipeline.stages.probe import clips, grid, items
from rl_slt.pipeline.stages.probe.stage import plan_items
from rl_slt.settings_model import SettingsModel
from rl_slt.threads import one_thread

_ROLLOUTS = 2  # of training: the last is timed
_BURN_IN, _DRAWS = 8, 24  # of an estimate: as many draws as the error over states reads
_GRADIENT_STEPS, _MOST_TOGETHER = 200, 8  # of exact gradients and clones; exact runs at once
_DEMONSTRATIONS = 1536  # of a clone
_LEVELS, _TRAINING_LEVELS = 20, 500  # of the probes; of training, whose layouts they avoid

# Convolutions on one core, until the process that began them is gone.
_BUSY = """
import os, torch
torch.set_num_threads(1)
parent, layer, frames = os.getppid(), torch.nn.Conv2d(16, 32, 3), torch.rand(64, 16, 32, 32)
while os.getppid() == parent:
    layer(frames)
"""

Seconds = Annotated[float, Field(ge=0)]
_SPENT = time.process_time


class Costs(SettingsModel):
    """Seconds on one core of this machine, as busy as it was when they were measured."""

    run: Seconds
    """a training but for its steps, and the start of its process"""
    step: Seconds
    """an environment step of training"""
    state: Seconds
    """a state to collect"""
    estimate: dict[str, Seconds]
    """an LLC estimate but for its steps, by loss"""
    gradient_step: dict[str, Seconds]
    """a step of all chains, by loss"""
    layout: Seconds
    """a training level to compare the layouts of probe levels with"""
    baseline: Seconds
    """a probe level of the baselines"""
    level: Seconds
    """a probe level of a checkpoint, with its share of the fixed-state probes"""
    clips: Seconds
    """the clips of a run"""
    report: Seconds
    """analysis and page, for each run"""
    wait: Annotated[float, Field(gt=0)]
    """seconds that pass for one of these: above 1 where others use the processor or it is slower"""

    def of_estimate(self, loss: str, steps: float) -> float:
        """Seconds of an estimate of so many steps."""
        return self.estimate[loss] + steps * self.gradient_step[loss]


_OF_PATCH = Costs(
    run=5.0, step=1.5e-4, state=4.5e-4, estimate={"kl": 2.7}, gradient_step={"kl": 8.4e-3},
    layout=1e-4, baseline=0.17, level=0.04, clips=1.6, report=5.0, wait=1.0,
)  # fmt: skip


def typical(plan: StudyPlan) -> Costs | None:
    """Costs of studies like the demo, as they were measured once; None of other studies.

    They are of one of two busy cores of an Intel Xeon (Sapphire Rapids). On other processors their
    ratios are about right, which will do once the pace of the work is known (`wait`).

    Args:
        plan: the study; like the demo it is where PPO trains the network `patch` on a CPU and all
            losses are KL divergences.
    """
    configs = [plan.train_config(arm, plan.seeds[0]) for arm in plan.arms]
    alike = all((each.trainer, each.network) == ("ppo", "patch") for each in configs)
    devices = {each.device for each in configs} | {plan.llc.device}
    return _OF_PATCH if alike and devices == {"cpu"} and plan.llc.losses == ("kl",) else None


def measure(plan: StudyPlan, workers: int = 1) -> Costs:
    """The costs of a plan's work, from a few seconds of each kind of it; its folder is deleted.

    The networks of all arms count as that of the first. Times are the processor's for work on it,
    so that short disturbances do no harm, and the share that others take is applied to all.
    Workers slow each other down: as many processes as these will be are busy meanwhile.

    Args:
        plan: the study.
        workers: that will be at work; 1 where they already are.

    Raises:
        InputError: what the plan asks for cannot be computed here.
    """
    keep_freed_memory()
    with one_thread(), _busy(workers - 1):
        start = _start()
        began, spent = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory(prefix="rl-slt-") as folder:
            found = _measure(plan, Study(Path(folder)), workers)
        elapsed, spent = time.perf_counter() - began, time.process_time() - spent
    found["run"] += start
    return Costs(**found, wait=max(1.0, elapsed / spent) if _clock(plan) is _SPENT else 1.0)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many other processes at work inside."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _clock(plan: StudyPlan) -> Callable[[], float]:
    """The processor's time where all work is on it; a GPU works while the processor waits."""
    config = plan.train_config(next(iter(plan.arms)), plan.seeds[0])
    return _SPENT if {config.device, plan.llc.device} == {"cpu"} else time.perf_counter


def _start() -> float:
    """Seconds of the processor that a process takes to start."""
    before = os.times()
    path = os.pathsep.join(sys.path)  # not the working folder's packages before ours
    command = [sys.executable, "-P", "-c", f"import {__name__}"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True)
    after = os.times()
    return after.children_user - before.children_user


class _Ticks:
    """Called after each step of a work: the times in between."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.at = clock, [clock()]

    def __call__(self, *_: object) -> None:
        self.at.append(self.clock())

    def since(self) -> float:
        """Seconds since the last call."""
        self()
        return self.at[-1] - self.at[-2]


def _measure(plan: StudyPlan, study: Study, workers: int) -> dict[str, Any]:
    arm, clock = next(iter(plan.arms)), _clock(plan)
    whole = plan.train_config(arm, plan.seeds[0])
    low, high = whole.levels or (0, _TRAINING_LEVELS)
    exact, ppo = whole.trainer == "exact", whole.trainer == "ppo"
    config = whole.replace(
        steps=_ROLLOUTS * whole.rollout_steps if ppo else _GRADIENT_STEPS, checkpoints="linear:2",
        tensorboard=False, levels=None if exact else (low, min(high, low + _TRAINING_LEVELS)),
    )  # fmt: skip
    if whole.trainer == "clone":
        config = config.replace(demonstrations=_DEMONSTRATIONS, stop_kl=None)
    run, ticks = study.run(arm, config.seed), _Ticks(clock)
    if exact:  # as many together as there will be
        n = -(-len(plan.arms) * len(plan.seeds) // workers)
        more = [(config.replace(seed=config.seed + k), study.path / f"{k}", arm)
                for k in range(1, min(n, _MOST_TOGETHER))]  # fmt: skip
        agents.train_together([(config, run.path, arm), *more], progress=ticks)
        ticks()
        step, rest = (ticks.at[-2] - ticks.at[2]) / config.total_steps / (1 + len(more)), 0.0
    else:
        agents.train(config, run.path, arm=arm, progress=ticks)
        ticks()
        if ppo:
            step = (ticks.at[-2] - ticks.at[-3]) / config.rollout_steps
            rest = ticks.at[-1] - ticks.at[0] - step * config.total_steps
        else:  # a clone: states first, all of them before the first step
            step = (ticks.at[-2] - ticks.at[1]) / config.total_steps
            rest = (ticks.at[1] - ticks.at[0]) * whole.demonstrations / config.demonstrations
    found = (
        {"step": step, "run": max(0.0, rest)}
        | _llc(plan, run, _Ticks(clock))
        | _probe(plan, run, _Ticks(clock))
    )
    write_json(study.path / "study.json", {"arms": {arm: {}}, "seeds": [config.seed]})
    ticks()
    analyse_study(study)
    report.build_report(report.load_study(study.path))
    return found | {"report": ticks.since()}


def _llc(plan: StudyPlan, run: Run, clock: _Ticks) -> dict[str, Any]:
    """Costs of the LLC stage: each loss on the first state set, at the last checkpoint."""
    small = plan.llc.replace(draws=_DRAWS, burn_in=_BURN_IN, profile=(), match_entropy=())
    items = [item for item in llc.plan_estimates(run, small, plan.placements)
             if item.step and item.states.name == small.states[0]]  # fmt: skip
    state, rest, step = 0.0, {}, {}
    for item in items:
        clock()
        _, data, _ = llc.load_inputs(item)
        state = state or clock.since() / len(data)
        ticks = _Ticks(clock.clock)
        llc.make(item, ticks)
        gaps = [after - before for before, after in zip(ticks.at[1:-1], ticks.at[2:], strict=True)]
        step[item.loss] = statistics.median(gaps)
        rest[item.loss] = clock.since() - step[item.loss] * (_BURN_IN + _DRAWS)
    return {"state": state, "estimate": rest, "gradient_step": step}


def _probe(plan: StudyPlan, run: Run, clock: _Ticks) -> dict[str, Any]:
    """Costs of the probe stage, on fewer levels of the suite where they are played."""
    if environment_of(run.training).probes is not None:
        exact = grid.plan_items(run, plan.probe)
        clock()
        for each in exact:
            grid.make(each)
        found = {"layout": 0.0, "baseline": 0.0, "level": clock.since() / len(exact)}
        grid.draw(exact[-1])
        return found | {"clips": clock.since()}
    levels = min(_LEVELS, plan.probe.levels or _LEVELS)
    clock()
    item = plan_items(run, plan.probe.replace(levels=levels), run.path / "parts" / "states")[-1]
    items.look_up_layouts(item)
    found = {"layout": clock.since() / _TRAINING_LEVELS}
    for part in range(item.parts):
        items.make_baselines(item, part)
    items.join_baselines(item)
    if item.states:
        items.collect_states(item)
    found["baseline"] = clock.since() / levels
    items.make(item)
    found["level"] = clock.since() / levels
    clips.make_clips(item)
    return found | {"clips": clock.since()}
