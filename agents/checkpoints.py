"""Checkpoints on disk: safetensors beside JSON, so that loading one runs no code."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from agents.files import json_bytes, new_dir, publish_dir, write_json
from agents.networks import ActorCritic, build_network
from rl_slt import InputError

FORMAT = 1
TENSORS = "policy.safetensors"
HEADER = "policy.json"
OPTIMIZER = "optimizer.safetensors"
INDEX = "index.json"


@dataclass(frozen=True, order=True)
class Checkpoint:
    """One checkpoint: the environment step it was taken at and its folder."""

    step: int
    path: Path


@dataclass(frozen=True)
class NetworkSpec:
    """What `build_network` needs to build the network of a checkpoint again."""

    name: str
    kwargs: Mapping[str, Any]
    n_actions: int = 15
    obs_shape: tuple[int, int, int] = (64, 64, 3)

    def build(self) -> ActorCritic:
        """A fresh network of this architecture."""
        return build_network(self.name, self.n_actions, **dict(self.kwargs))


def checkpoint_path(run: Path, step: int) -> Path:
    """The folder of the checkpoint of `run` at environment step `step`."""
    return run / "checkpoints" / f"{step:012d}"


def save_checkpoint(
    run: Path,
    step: int,
    network: torch.nn.Module,
    spec: NetworkSpec,
    metrics: Mapping[str, float | None],
    optimizer: Mapping[str, torch.Tensor] | None = None,
    reward: Mapping[str, float] | None = None,
) -> Checkpoint:
    """Write a checkpoint under a temporary name and rename it: it is there whole or not at all.

    Args:
        run: the run's folder.
        step: environment step.
        network: whose weights are kept.
        spec: how to build it again.
        metrics: numbers for policy.json; those that are not finite become null.
        optimizer: the optimiser's state as named tensors, kept beside.
        reward: statistics of the reward normalisation, for branches.
    """
    data = save_tensors(cpu_tensors(network.state_dict()))
    header = {
        "format": FORMAT,
        "step": step,
        "network": {"name": spec.name, "kwargs": dict(spec.kwargs)},
        "n_actions": spec.n_actions,
        "obs_shape": list(spec.obs_shape),
        "sha256": hashlib.sha256(data).hexdigest(),
        "metrics": {name: _finite(value) for name, value in metrics.items()},
        "reward": dict(reward or {}),
        "versions": versions(),
    }
    final = checkpoint_path(run, step)
    temporary = new_dir(final)
    (temporary / TENSORS).write_bytes(data)
    (temporary / HEADER).write_bytes(json_bytes(header))
    if optimizer is not None:
        (temporary / OPTIMIZER).write_bytes(save_tensors(cpu_tensors(optimizer)))
    publish_dir(temporary, final)
    return Checkpoint(step, final)


def list_checkpoints(run: Path | str) -> list[Checkpoint]:
    """The complete checkpoints of `run`, by step; unfinished ones are not there under this name."""
    folders = (Path(run) / "checkpoints").glob("[0-9]" * 12)
    return sorted(
        Checkpoint(int(path.name), path)
        for path in folders
        if (path / HEADER).is_file() and (path / TENSORS).is_file()
    )


def find_checkpoint(run: Path | str, step: int) -> Checkpoint:
    """The checkpoint of `run` at exactly `step`; InputError naming the steps there are."""
    known = list_checkpoints(run)
    for checkpoint in known:
        if checkpoint.step == step:
            return checkpoint
    steps = ", ".join(str(checkpoint.step) for checkpoint in known) or "none"
    raise InputError(f"{run} has no checkpoint at step {step}; it has: {steps}")


def write_index(run: Path, finished: bool) -> None:
    """Write checkpoints/index.json: the steps there are, and whether training is over."""
    steps = [checkpoint.step for checkpoint in list_checkpoints(run)]
    write_json(
        run / "checkpoints" / INDEX, {"format": FORMAT, "steps": steps, "finished": finished}
    )


def is_finished(run: Path | str) -> bool:
    """Whether the training of `run` has reached its end."""
    path = Path(run) / "checkpoints" / INDEX
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_bytes())["finished"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is corrupt; delete it and resume the training") from error


def read_header(checkpoint: Path) -> dict[str, Any]:
    """The parsed policy.json of a checkpoint's folder; InputError if there is no sound one."""
    path = Path(checkpoint) / HEADER
    try:
        header = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{checkpoint} is not a checkpoint: it has no readable {HEADER}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is corrupt: it is not JSON") from error
    keys = {"format", "step", "network", "n_actions", "obs_shape", "sha256"}
    missing = sorted(keys - set(header)) if isinstance(header, dict) else ["everything"]
    if missing:
        raise InputError(f"{path} is corrupt: it lacks {', '.join(missing)}")
    if header["format"] != FORMAT:
        raise InputError(f"{path} has format {header['format']!r}; this version reads {FORMAT}")
    return header


def read_spec(checkpoint: Path) -> NetworkSpec:
    """The architecture that a checkpoint names."""
    header = read_header(checkpoint)
    try:
        network = header["network"]
        height, width, channels = (int(size) for size in header["obs_shape"])
        return NetworkSpec(
            str(network["name"]),
            dict(network["kwargs"]),
            int(header["n_actions"]),
            (height, width, channels),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{Path(checkpoint) / HEADER} is corrupt: {error!r}") from error


def load_policy(checkpoint: Path | str | Checkpoint) -> ActorCritic:
    """The network of a checkpoint, in eval mode, float32, on the CPU; runs no code from the file.

    Returns:
        A module from frames uint8 `[B, 64, 64, 3]` to (logits `[B, A]`, value `[B]`).

    Raises:
        InputError: no checkpoint, a corrupt one, or one of another architecture than it says.
    """
    path = Path(checkpoint.path if isinstance(checkpoint, Checkpoint) else checkpoint)
    tensors = read_tensors(path, read_header(path)["sha256"])
    spec = read_spec(path)
    with torch.random.fork_rng(devices=[]):
        network = spec.build()
    load_tensors_into(network, tensors, path)
    return network.eval()


def read_tensors(checkpoint: Path, sha256: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint whose bytes have the hash `sha256`."""
    path = checkpoint / TENSORS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{checkpoint} is not a checkpoint: it has no readable {TENSORS}"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is corrupt: its SHA-256 is not the one in {HEADER}")
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} holds no safetensors: {error}") from error


def load_tensors_into(
    network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], source: Path
) -> None:
    """Copy `tensors` into `network`; InputError at the first name or shape that differs."""
    own = network.state_dict()
    if different := sorted(set(own) ^ set(tensors)):
        raise InputError(
            f"{source} holds another architecture: {different[0]!r} is only in "
            f"{'the network' if different[0] in own else 'the file'}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise InputError(
                f"{source} holds another architecture: {name!r} is {list(tensor.shape)}, "
                f"not {list(own[name].shape)}"
            )
    network.load_state_dict(dict(tensors))


def cpu_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies on the CPU in plain row-major layout, which safetensors wants."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def versions() -> dict[str, str]:
    """The versions of the packages that a training depends on."""
    return {
        name: version(name) for name in ("torch", "numpy", "stable-baselines3", "procgen-mirror")
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
