"""Everything a training needs to go on exactly: our own files, read without running code."""

import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.vec_env import VecNormalize

from agents.checkpoints import cpu_tensors, load_tensors_into
from agents.files import atomic_dir, json_bytes, remove_dir
from agents.ppo import FramePPO
from rl_slt import InputError

FORMAT = 1
TENSORS, STATE, ENVIRONMENT = "state.safetensors", "state.json", "environment.bin"


def resume_points(run: Path) -> list[Path]:
    """The complete resume points of `run`, oldest first."""
    return sorted(path for path in (run / "resume").glob("[0-9]" * 12) if (path / STATE).is_file())


def save_resume(
    run: Path, model: FramePPO, normalizer: VecNormalize, env: Any, extra: dict[str, Any]
) -> Path:
    """Write a new resume point, then delete the older ones: at no moment is there none.

    Args:
        run: the run's folder.
        model: between two rollouts.
        normalizer: the reward normalization around the environment.
        env: has `get_state() -> bytes`.
        extra: JSON-able, given back by `load_resume`.
    """
    final = run / "resume" / f"{model.num_timesteps:012d}"
    if (final / STATE).is_file():  # the same state: training is deterministic
        return final
    older = resume_points(run)
    with atomic_dir(final) as folder:
        save_file(_tensors(model, normalizer), folder / TENSORS)
        (folder / ENVIRONMENT).write_bytes(env.get_state())
        (folder / STATE).write_bytes(json_bytes(_state(model) | {"extra": extra}))
    for path in older:
        remove_dir(path)
    return final


def load_resume(path: Path, model: FramePPO, normalizer: VecNormalize, env: Any) -> dict[str, Any]:
    """Set `model`, `normalizer` and `env` to the resume point `path`; returns its extras.

    Raises:
        InputError: the point is damaged or of another version.
    """
    try:
        state = json.loads((path / STATE).read_bytes())
        tensors = load_file(path / TENSORS)
        environment = (path / ENVIRONMENT).read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"resume point {path} is corrupt: {error}") from error
    if state.get("format") != FORMAT:
        raise InputError(f"resume point {path} has format {state.get('format')!r}, not {FORMAT}")
    env.set_state(environment)
    _restore_tensors(tensors, model, normalizer, path)
    model.num_timesteps = state["num_timesteps"]
    model._n_updates = state["n_updates"]
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model.rollout_buffer.shuffler.bit_generator.state = state["shuffler"]
    return state["extra"]


def _state(model: FramePPO) -> dict[str, Any]:
    episodes = [{"r": float(e["r"]), "l": int(e["l"])} for e in model.ep_info_buffer or ()]
    return {
        "format": FORMAT,
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "episodes": episodes,
        "shuffler": model.rollout_buffer.shuffler.bit_generator.state,
    }


def _tensors(model: FramePPO, normalizer: VecNormalize) -> dict[str, torch.Tensor]:
    """All arrays of the state by name, those of the network under `network/` and so on."""
    assert isinstance(model._last_obs, np.ndarray) and model._last_episode_starts is not None
    arrays = {
        "last_obs": model._last_obs,
        "last_episode_starts": model._last_episode_starts.astype(np.uint8),
        "reward/mean": normalizer.ret_rms.mean,
        "reward/var": normalizer.ret_rms.var,
        "reward/count": normalizer.ret_rms.count,
        "reward/returns": normalizer.returns,
    }
    tensors = {name: torch.tensor(np.asarray(array)) for name, array in arrays.items()}
    tensors["sampler"] = model.policy.sampler.get_state()
    network = {f"network/{k}": v for k, v in model.policy.network.state_dict().items()}
    return tensors | cpu_tensors(network | optimizer_tensors(model.policy.optimizer))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Adam's state as named tensors: `optimizer/INDEX/exp_avg` and so on; empty before a step."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Set the optimizer's state from tensors named as by `optimizer_tensors`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = optimizer.param_groups[0]["params"]
    for key, value in tensors.items():
        _, index, name = key.split("/")
        if value.ndim:  # in the layout of its parameter: other layouts may round otherwise
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _restore_tensors(
    tensors: dict[str, torch.Tensor], model: FramePPO, normalizer: VecNormalize, path: Path
) -> None:
    network = {k.removeprefix("network/"): v for k, v in tensors.items() if k.startswith("network")}
    load_tensors_into(model.policy.network, network, path)
    load_optimizer(
        model.policy.optimizer, {k: v for k, v in tensors.items() if k.startswith("optimizer/")}
    )
    model.policy.sampler.set_state(tensors["sampler"])
    model._last_obs = tensors["last_obs"].numpy()
    model._last_episode_starts = tensors["last_episode_starts"].numpy().astype(bool)
    normalizer.ret_rms.mean = tensors["reward/mean"].numpy()
    normalizer.ret_rms.var = tensors["reward/var"].numpy()
    normalizer.ret_rms.count = tensors["reward/count"].item()
    normalizer.returns = tensors["reward/returns"].numpy()
