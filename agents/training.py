"""Train one agent: from a configuration to a run folder, resumable exactly."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

import envs
from agents.branch import find_origin, inherited_arm, load_origin
from agents.callback import TrainingCallback, TrainingStopped
from agents.checkpoints import is_finished, write_index
from agents.cloning import clone
from agents.config import TrainConfig
from agents.devices import check_device, chosen_precision
from agents.environment import Evaluator, make_env, network_spec
from agents.exact import Ascent, ascend
from agents.files import TEMPORARY, make_folder, remove_leftovers, write_json
from agents.networks import NETWORKS
from agents.policy import FramePolicy
from agents.ppo import FramePPO
from agents.resume import load_resume, resume_points
from agents.run import CONFIG, LOCK, Run, run_entry, safe_name
from rl_slt import InputError


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    arm: str | None = None,
) -> None:
    """Train an agent into the run folder `out`.

    Writes config.json, checkpoints/, resume/, progress.csv and tensorboard/. Killed at any time,
    the same call with `resume=True` goes on and leaves the same checkpoints and progress.csv, byte
    for byte, as an uninterrupted run with the same number of threads on the same machine. The
    first Ctrl-C stops at the next update and saves; a second one stops at once.

    Args:
        config: all settings.
        out: the run's folder; new or empty, unless `resume`.
        resume: go on if `out` holds this very training, else start.
        progress: called with (environment steps done, in all) after every update.
        arm: the condition of a study that the run belongs to, for config.json; None is the arm of
            the run that `config` branches off under the same condition, else `unnamed`.

    Raises:
        InputError: wrong device, `out` holds another run or other files, or is being trained in.
        KeyboardInterrupt: after a Ctrl-C, with everything saved.
    """
    if config.trainer == "exact":
        return train_together([(config, out, arm)], resume=resume, progress=progress)
    device = check_device(config.device)
    with _begun(config, Path(out), resume, arm) as todo:
        if todo:
            envs.keep_freed_memory()
            begun = Run(Path(out)).config.get("precision", config.precision)
            config = config.replace(precision=begun)  # `auto` stays what it was at the beginning
            if config.trainer == "clone":
                clone(config, Path(out), progress)
            else:
                _train(config, Path(out), device, progress)


def train_together(
    trainings: Sequence[tuple[TrainConfig, Path, str | None]],
    *,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train several agents by exact gradients in one process, as `train` does each.

    Args:
        trainings: settings, folder and arm of each, as of `train`; the settings differ in seed and
            placement alone.
        resume: as of `train`.
        progress: called with (gradient steps done, in all).

    Raises:
        InputError: as `train`, or settings that differ in more.
    """
    with contextlib.ExitStack() as stack:
        todo = []
        for config, out, arm in trainings:
            check_device(config.device)
            if stack.enter_context(_begun(config, Path(out), resume, arm)):
                todo.append(Ascent(config, Path(out)))
        ascend(todo, progress)


@contextlib.contextmanager
def _begun(config: TrainConfig, out: Path, resume: bool, arm: str | None) -> Iterator[bool]:
    """A run's folder, locked and with its config.json; False where its training is finished."""
    check_folder(config, out, resume, arm)
    find_origin(config)
    arm = safe_name(arm, "arm") if arm is not None else inherited_arm(config)
    make_folder(out)
    with _locked(out, config.threads):
        if todo := not is_finished(out):
            _prepare(config, out, arm)
        yield todo


def check_folder(config: TrainConfig, out: Path, resume: bool, arm: str | None = None) -> None:
    """Raise InputError unless `out` is free for this training or, with `resume`, holds it."""
    run = Run(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder")
    if not run.exists:
        names = {p.name for p in out.iterdir()} - {LOCK} if out.exists() else set()
        if others := sorted(n for n in names if not n.startswith(TEMPORARY)):
            raise InputError(
                f"{out} holds other files ({others[0]}) and no run; choose a new folder"
            )
        return
    if not resume:
        raise InputError(f"{out} already holds a run; resume it or choose another folder")
    theirs = {"arm": run.arm} | run.training.as_dict()
    ours = {"arm": run.arm if arm is None else arm} | config.as_dict()
    if different := [k for k in ours if ours[k] != theirs[k]]:
        key = different[0]
        raise InputError(
            f"{out} holds another run: its {key} is {theirs[key]!r}, not {ours[key]!r}"
        )


@contextlib.contextmanager
def _locked(out: Path, threads: int | None) -> Iterator[None]:
    """Hold the run's lock, which the system drops when the process dies, with that many threads."""
    lock, before = FileLock(out / LOCK), torch.get_num_threads()
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"{out} is being trained by another process") from error
    try:
        torch.set_num_threads(threads or min(before, envs.cores()))
        yield
    finally:
        torch.set_num_threads(before)
        lock.release()


def _prepare(config: TrainConfig, out: Path, arm: str) -> None:
    """Clean up after a killed process; write config.json where there is none yet."""
    for folder in (out, out / "checkpoints", out / "resume"):
        remove_leftovers(folder)
    if not Run(out).exists:
        precision = chosen_precision(config.precision, torch.device(config.device))
        entry = run_entry(out, arm, config, "train") | {"precision": precision}
        write_json(out / CONFIG, entry)


def _train(
    config: TrainConfig,
    out: Path,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
) -> None:
    env = make_env(config)
    evaluate = Evaluator(config) if config.eval_every is not None else None
    try:
        normalizer = VecNormalize(
            envs.to_sb3(env),
            norm_obs=False,
            norm_reward=config.normalize_reward,
            gamma=config.gamma,
        )
        model = build_model(config, normalizer, device)
        points = resume_points(out)
        extra = load_resume(points[-1], model, normalizer, env) if points else None
        if extra is None and (origin := find_origin(config)) is not None:
            load_origin(origin, model, normalizer)
        if extra and extra["finished"]:
            write_index(out, finished=True)
            return
        callback = TrainingCallback(
            out, config, normalizer, env, resumed=extra, evaluate=evaluate, progress=progress
        )
        _learn(model, callback, config)
    finally:
        env.close()
        if evaluate is not None:
            evaluate.close()


def build_model(config: TrainConfig, env: Any, device: torch.device) -> FramePPO:
    """The PPO of `config` over the stable-baselines3 environment `env`, newly initialized."""

    def annealed(remaining: float) -> float:
        return config.lr * remaining

    spec = network_spec(config)
    cached = NETWORKS[config.network].micro_batch
    model = FramePPO(
        FramePolicy,
        env,
        learning_rate=annealed if config.anneal_lr else config.lr,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        micro_batch=config.micro_batch or (cached if device.type == "cpu" else config.batch_size),
        workers=(config.threads or torch.get_num_threads()) if device.type == "cpu" else 1,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        clip_range_vf=config.clip_value,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        device=device,
        policy_kwargs={
            "spec": spec,
            "seed": config.seed,
            "sampler_device": device,
            "mixed": chosen_precision(config.precision, device) == "bfloat16",
        },
        rollout_buffer_kwargs={"seed": config.seed},
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _learn(model: FramePPO, callback: TrainingCallback, config: TrainConfig) -> None:
    """Run SB3's `learn` to the end, to an early stop or to a Ctrl-C."""
    left = config.total_steps - model.num_timesteps
    stopped = None
    with _interrupts(callback):
        try:
            model.learn(
                left,
                callback=callback,
                log_interval=10**9,
                reset_num_timesteps=callback.resumed is None,
            )
        except TrainingStopped as stop:
            stopped = stop
        finally:
            callback.close()
    if stopped is not None and not stopped.finished:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts(callback: TrainingCallback) -> Iterator[None]:
    """Turn the first Ctrl-C into a stop at the next update; the second is the usual one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(_signum: int, _frame: Any) -> None:
        callback.interrupted = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
