"""The training stage: every arm and seed of a study, as many at a time as there are workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import agents
from agents import (
    UNNAMED,
    TrainConfig,
    branch_config,
    import_agent,
    is_loader,
    ppo_preset,
    rest_config,
)
from envs import GAMES, cores
from rl_slt.pipeline.disk.layout import Run, Study, open_run
from rl_slt.pipeline.engine.jobs import Engine, Job, Outcome
from rl_slt.pipeline.engine.progress import meter
from rl_slt.pipeline.plan.study import StudyPlan

Args = tuple[dict[str, Any], str, str]  # settings, folder and arm of a run
_MOST = 32  # runs of exact gradients in one process: as many are as fast as fewer


def train_study(study: Study, plan: StudyPlan, engine: Engine) -> list[Outcome]:
    """Train every run of the study that is not finished; returns what failed."""
    jobs, paths, together = [], [], []
    for seed in plan.seeds:
        for arm in plan.arms:
            run, config = study.run(arm, seed), plan.train_config(arm, seed)
            paths.append((run, config.total_steps))
            args = (config.as_dict(), str(run.path), arm)
            if run.finished:
                continue
            if config.trainer == "exact":
                together.append(args)
            else:
                jobs.append(Job(f"training of {run.name}", train_one, args, str(run.path)))
    for each in split(together, engine.workers):
        label = f"training of {len(each)} runs from {Path(each[0][1]).name} on"
        jobs.append(Job(label, train_some, (each,), each[0][1]))
    if not jobs:
        return []

    def tick() -> None:
        done = [min(steps, run.steps_done) for run, steps in paths]
        busy = sum(0 < d < steps for d, (_, steps) in zip(done, paths, strict=True))
        bar.update(sum(done), f"{busy} under way" if busy else "")

    with meter("training", sum(steps for _, steps in paths), unit="steps") as bar:
        return [outcome for outcome in engine.run(jobs, tick) if outcome.reason]


def split(runs: Sequence[Args], workers: int) -> list[Sequence[Args]]:
    """Runs of exact gradients in groups of about one size, each for a process.

    Args:
        runs: in any order; those of a group differ in seed and placement alone where the arms do.
        workers: as many processes; no group has more than 32 runs.
    """
    alike: dict[str, list[Args]] = {}
    for run in runs:
        rest = {name: value for name, value in run[0].items() if name not in ("coin", "seed")}
        alike.setdefault(str(sorted(rest.items())), []).append(run)
    groups: list[Sequence[Args]] = []
    for same in alike.values():
        count = max(min(workers, len(same)), -(-len(same) // _MOST))
        groups += [same[k::count] for k in range(count)]
    return groups


def train_some(runs: Sequence[Args]) -> None:
    """Train several runs by exact gradients, or go on with them (called on a worker)."""
    todo = [(TrainConfig.build(config, arm), Path(path), arm) for config, path, arm in runs]
    agents.train_together(todo, resume=True)


def train_one(config: dict[str, Any], path: str, arm: str) -> None:
    """Train one run, or go on with it (called on a worker)."""
    agents.train(TrainConfig.build(config, arm), Path(path), resume=True, arm=arm)


def train_run(
    out: Path,
    preset: str | None,
    changes: dict[str, Any],
    resume: bool = False,
    branch: tuple[Path, int] | None = None,
    arm: str | None = None,
    rest: bool = False,
) -> None:
    """Train one run from the command line.

    Args:
        out: folder of the run.
        preset: named settings; None takes what is usual for the game and trainer.
        changes: settings of `agents.TrainConfig` that replace the preset's.
        resume: go on with the unfinished training in `out`.
        branch: run and step of the checkpoint to begin with.
        arm: the condition of a study that the run stands for; None takes that of the run which it
            branches off under the same condition, else `unnamed`.
        rest: a branch is for what was left of the other run's training (`agents.rest_config`).

    Raises:
        InputError: for a wrong setting, or a folder that holds something else.
    """
    if resume and Run(out).exists:
        base = Run(out).training
    elif branch is not None:
        open_run(branch[0])
        base = rest_config(*branch) if rest else branch_config(*branch)
    else:  # without a named preset, frames in a size for the machine at hand
        game = GAMES.get(changes.get("game", ""), GAMES["coinrun"])
        trainer = changes.get("trainer", next(iter(game.presets)))
        own = preset or game.presets.get(trainer, "paper")  # what is neither is refused below
        usual = not preset and own == "paper"
        small = {"network": "small", "steps": 1_000_000} if usual else {}
        base = ppo_preset(own, threads=min(torch.get_num_threads(), cores()), **small)
    config = TrainConfig.build(base.as_dict() | changes, "train")
    with meter("training", config.total_steps, unit="steps") as bar:
        tick = lambda done, total: bar.update(done)  # noqa: E731
        agents.train(config, out, resume=resume, arm=arm, progress=tick)


def import_run(
    files: Sequence[str],
    out: Path,
    changes: dict[str, Any],
    steps: Sequence[int] | None = None,
    arm: str | None = None,
    actions: Sequence[int] | None = None,
    trust: bool = False,
) -> None:
    """Make a run of an agent that was trained elsewhere.

    Args:
        files: of one agent, each a checkpoint of the run; before them, if wanted, a function of
            one's own that reads them, as `package.module:function`.
        out: folder of the run, new or empty.
        changes: what is known of its training, in the names of `agents.TrainConfig`.
        steps: environment steps that each was trained for; None takes what the file says.
        arm: the condition of a study that it stands for; None is `unnamed`.
        actions: which of procgen's actions each of the agent's is; None is all in order.
        trust: whether a torch file may run the code in it.

    Raises:
        InputError: for a wrong setting, file, or folder.
    """
    config = TrainConfig.build({"network": "nature", **changes}, "import")
    loader = files[0] if len(files) > 1 and is_loader(files[0]) else None
    import_agent(
        files if loader is None else files[1:], out, config=config, step=steps,
        arm=UNNAMED if arm is None else arm, actions=actions, loader=loader, trust=trust,
    )  # fmt: skip
