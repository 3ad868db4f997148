"""Checkpoints on disk: safetensors next to JSON, so that loading one runs no code.

A checkpoint is the folder `checkpoints/STEP/` of its run with `policy.safetensors`, `policy.json`
(a `Header`) and, if asked for, `optimizer.safetensors`. `checkpoints/index.json` lists them all.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from agents.files import atomic_dir, json_bytes, write_json
from agents.networks import ActorCritic, build_network
from agents.own import build_own
from envs import procgen_package
from rl_slt import InputError, SettingsModel

FORMAT: Literal[1] = 1
TENSORS, HEADER, OPTIMIZER = "policy.safetensors", "policy.json", "optimizer.safetensors"
INDEX = "index.json"


@dataclass(frozen=True, order=True)
class Checkpoint:
    """One checkpoint: the environment step it was taken at and its folder.

    Attributes:
        step: environment steps at which it was taken.
        path: its folder.
    """

    step: int
    path: Path

    @property
    def weights(self) -> Path:
        """The file of the policy's weights."""
        return self.path / TENSORS

    @property
    def written(self) -> float:
        """When it was written, in seconds since the epoch."""
        return (self.path / HEADER).stat().st_mtime


@dataclass(frozen=True)
class NetworkSpec:
    """What `build_network` needs to build the network of a checkpoint again."""

    name: str
    kwargs: Mapping[str, Any]
    n_actions: int = 15
    obs_shape: tuple[int, int, int] = (64, 64, 3)

    def build(self) -> ActorCritic:
        """A new network of this architecture."""
        return build_network(self.name, self.n_actions, **dict(self.kwargs))


class _Network(SettingsModel):
    name: str
    kwargs: dict[str, Any]


class Header(SettingsModel):
    """What `policy.json` says of a checkpoint.

    Attributes:
        format: of this file.
        step: environment step.
        network: name and settings, for `agents.build_network`.
        n_actions: number of logits A.
        obs_shape: of a frame, `(H, W, C)`; of a gridworld `(planes, size, size)`.
        sha256: of the bytes of `policy.safetensors`.
        metrics: of the training at this step; those that were not finite are null.
        reward: `mean`, `var`, `count` of the discounted return, by which rewards are normalized.
        versions: of the packages that it was made with.
    """

    model_config = ConfigDict(extra="ignore")

    format: Literal[1]
    step: int
    network: _Network
    n_actions: int
    obs_shape: tuple[int, int, int]
    sha256: str
    metrics: dict[str, float | None] = Field({})
    reward: dict[str, float] = Field({})
    versions: dict[str, str] = Field({})

    @property
    def spec(self) -> NetworkSpec:
        """The architecture that it names."""
        return NetworkSpec(self.network.name, self.network.kwargs, self.n_actions, self.obs_shape)


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
    """Write a checkpoint: it is there whole or not at all.

    Args:
        run: the run's folder.
        step: environment step.
        network: whose weights are kept.
        spec: how to build it again.
        metrics: numbers for policy.json; those that are not finite become null.
        optimizer: the optimizer's state as named tensors, kept as well.
        reward: statistics of the reward normalization, for branches.
    """
    data = save_tensors(cpu_tensors(network.state_dict()))
    header = Header(
        format=FORMAT,
        step=step,
        network=_Network(name=spec.name, kwargs=dict(spec.kwargs)),
        n_actions=spec.n_actions,
        obs_shape=spec.obs_shape,
        sha256=hashlib.sha256(data).hexdigest(),
        metrics={k: v if v is not None and math.isfinite(v) else None for k, v in metrics.items()},
        reward=dict(reward or {}),
        versions=versions(),
    )
    final = checkpoint_path(run, step)
    with atomic_dir(final) as folder:
        (folder / TENSORS).write_bytes(data)
        (folder / HEADER).write_bytes(json_bytes(header.as_dict()))
        if optimizer is not None:
            (folder / OPTIMIZER).write_bytes(save_tensors(cpu_tensors(optimizer)))
    return Checkpoint(step, final)


def list_checkpoints(run: Path | str) -> list[Checkpoint]:
    """The complete checkpoints of `run`, by step; unfinished ones are not there under this name.

    Args:
        run: folder of a run.
    """
    folders = (Path(run) / "checkpoints").glob("[0-9]" * 12)
    return sorted(
        Checkpoint(int(path.name), path)
        for path in folders
        if (path / HEADER).is_file() and (path / TENSORS).is_file()
    )


def find_checkpoint(run: Path | str, step: int) -> Checkpoint:
    """The checkpoint of `run` at exactly that environment step.

    Args:
        run: folder of a run.
        step: environment steps.

    Raises:
        InputError: there is none; it names the steps there are.
    """
    known = {checkpoint.step: checkpoint for checkpoint in list_checkpoints(run)}
    if step not in known:
        steps = ", ".join(map(str, known)) or "none"
        raise InputError.of("step", step, f"that of a checkpoint of {run}", f"it has: {steps}")
    return known[step]


def write_index(run: Path, finished: bool) -> None:
    """Write checkpoints/index.json: the steps there are, and whether training is over."""
    steps = [checkpoint.step for checkpoint in list_checkpoints(run)]
    write_json(
        run / "checkpoints" / INDEX, {"format": FORMAT, "steps": steps, "finished": finished}
    )


def is_finished(run: Path | str) -> bool:
    """Whether the training of `run` has reached its end.

    Args:
        run: folder of a run.

    Raises:
        InputError: the index of the checkpoints is damaged.
    """
    path = Path(run) / "checkpoints" / INDEX
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_bytes())["finished"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is corrupt; delete it and resume the training") from error


def read_header(checkpoint: Path) -> Header:
    """What the policy.json in a checkpoint's folder says.

    Args:
        checkpoint: its folder.

    Raises:
        InputError: there is no sound one.
    """
    path = Path(checkpoint) / HEADER
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{checkpoint} is not a checkpoint: it has no readable {HEADER}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is corrupt: it is not JSON") from error
    try:
        return Header(**values if isinstance(values, dict) else {})
    except InputError as error:
        raise InputError(f"{path} is corrupt: {error}") from None


def load_policy(checkpoint: Path | str | Checkpoint) -> torch.nn.Module:
    """The network of a checkpoint, in eval mode, float32, on the CPU; runs no code from the file.

    A policy of one's own (`agents.own`) is made by the user's function, where that is trusted.

    Args:
        checkpoint: or its folder.

    Returns:
        A module from frames uint8 `[B, 64, 64, 3]` to (logits `[B, A]`, value `[B]`); from planes
        `[..., F]` of a gridworld, where it was trained by exact gradients, to logits `[..., 4]`.

    Raises:
        InputError: no checkpoint, a corrupt one, or one of another architecture than it says.
    """
    path = Path(checkpoint.path if isinstance(checkpoint, Checkpoint) else checkpoint)
    header = read_header(path)
    tensors = read_tensors(path, header.sha256)
    with torch.random.fork_rng(devices=[]):
        network = policy_of(header, path)
    load_tensors_into(network, tensors, path)
    return network.eval()


def policy_of(header: Header, checkpoint: Path) -> torch.nn.Module:
    """A network as a header describes it, its weights still to be loaded."""
    spec = header.spec
    if ":" not in spec.name:
        return spec.build()
    return build_own(spec.name, checkpoint, spec.n_actions, **dict(spec.kwargs))


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
    for name in sorted(set(own) | set(tensors)):
        if name not in own or name not in tensors:
            where = "the network" if name in own else "the file"
            raise InputError(f"{source} holds another architecture: {name!r} is only in {where}")
        if tensors[name].shape != own[name].shape:
            raise InputError(
                f"{source} holds another architecture: {name!r} is {list(tensors[name].shape)}, "
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
    """The versions of what a training depends on, the package that brings procgen among them."""
    installed = {name: version(name) for name in ("torch", "numpy", "stable-baselines3")}
    return {"python": platform.python_version(), **installed, **dict([procgen_package()])}
