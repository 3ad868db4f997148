"""Going on from a checkpoint of another run, under other settings."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from stable_baselines3.common.vec_env import VecNormalize

from agents.checkpoints import (
    OPTIMIZER,
    Checkpoint,
    find_checkpoint,
    load_tensors_into,
    read_header,
    read_tensors,
)
from agents.config import TrainConfig
from agents.environment import network_spec
from agents.ppo import FramePPO
from agents.resume import load_optimizer
from agents.run import UNNAMED, Run
from rl_slt import InputError

# Settings in which a branch may differ from the run that it goes on from and be of its arm.
BOOKKEEPING = frozenset({
    "from_run", "from_step", "steps", "seed", "checkpoints", "save_optimizer", "resume_seconds",
    "tensorboard", "device", "threads", "precision", "micro_batch",
    "eval_every", "eval_levels", "eval_episodes",
})  # fmt: skip


def branch_config(run: Path, step: int, **changes: Any) -> TrainConfig:
    """The settings of `run`, branching off at its checkpoint `step`, with `changes`.

    Given to `train`, the new run starts at its own step 0 with the checkpoint's weights.

    Args:
        run: folder of the run to branch off.
        step: environment step of the checkpoint.
        changes: settings of `TrainConfig`; `steps` counts the steps of the branch alone.

    Raises:
        InputError: no such run or checkpoint, or a wrong change.
    """
    run = Path(run)
    find_checkpoint(run, step)
    origin = {"from_run": str(run.resolve()), "from_step": step}
    return Run(run).training.replace(**origin, **changes)


def rest_config(run: Path, step: int, **changes: Any) -> TrainConfig:
    """As `branch_config`, for what was left of the training of `run` at its checkpoint `step`.

    The branch has as many steps as were left, and a learning rate that falls goes on falling as it
    would have: under the run's own settings and seed nothing but the noise is new. To change the
    data for a while, branch off with another `coin`, and off that branch with the run's own.

    Args:
        run: as of `branch_config`.
        step: as of `branch_config`.
        changes: settings of `TrainConfig`.

    Raises:
        InputError: as of `branch_config`, or nothing is left after that checkpoint.
    """
    parent = branch_config(run, step)
    if (left := parent.total_steps - step) <= 0:
        raise InputError.of("step", step, f"before the last step of {run}, {parent.total_steps}")
    rate = parent.lr * left / parent.total_steps if parent.anneal_lr else parent.lr
    return parent.replace(**{"steps": left, "lr": rate} | changes)


def find_origin(config: TrainConfig) -> Checkpoint | None:
    """The checkpoint that `config` branches off; InputError if missing or of another network."""
    if config.from_run is None or config.from_step is None:
        return None
    origin = find_checkpoint(Path(config.from_run), config.from_step)
    theirs, ours = read_header(origin.path).network, network_spec(config)
    if (theirs.name, theirs.kwargs) != (ours.name, ours.kwargs):
        raise InputError.of(
            "network", config.network, f"{theirs.name!r} {theirs.kwargs} as in {origin.path}"
        )
    return origin


def inherited_arm(config: TrainConfig) -> str:
    """The arm of the run that `config` branches off, if it goes on under the same condition.

    A branch that differs in more than `BOOKKEEPING` is `unnamed`, like a run that branches off
    none: tables of two conditions must not be pooled under one name.
    """
    if config.from_run is None:
        return UNNAMED
    parent = Run(Path(config.from_run))
    ours, theirs = config.as_dict(), parent.training.as_dict()
    same = all(ours[name] == theirs[name] for name in ours if name not in BOOKKEEPING)
    return parent.arm if same else UNNAMED


def load_origin(origin: Checkpoint, model: FramePPO, normalizer: VecNormalize) -> None:
    """Give `model` the weights of a checkpoint, and what else the checkpoint keeps.

    The scale of the rewards is taken over where known: value and advantage keep their meaning.
    """
    header = read_header(origin.path)
    load_tensors_into(model.policy.network, read_tensors(origin.path, header.sha256), origin.path)
    if {"mean", "var", "count"} <= set(header.reward):
        for name in ("mean", "var", "count"):
            setattr(normalizer.ret_rms, name, header.reward[name])
    if (origin.path / OPTIMIZER).is_file():
        load_optimizer(model.policy.optimizer, load_file(origin.path / OPTIMIZER))
