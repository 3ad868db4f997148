"""A small trainer of supervised models, whose runs lie on disk as those of agents do.

config.json               settings, versions, command, seed
checkpoints/STEP/         model.safetensors, model.json (loading runs no code), as policies have
checkpoints/index.json    the steps there are, and whether training is over
resume/state.pt           what training needs to go on
progress.csv              losses and accuracy at each checkpoint
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from agents import (
    SCHEDULES,
    atomic_dir,
    checkpoint_steps,
    read_json_object,
    remove_leftovers,
    write_bytes,
    write_json,
)
from rl_slt import InputError, PolicyData, SettingsModel

PerSample = Callable[[nn.Module, PolicyData], Tensor]
"""What is trained: a loss of `rl_slt`, `loss(model, batch) -> [B]`."""
Builder = Callable[..., nn.Module]
Count = Annotated[int, Field(ge=1)]
TENSORS, HEADER = "model.safetensors", "model.json"


class Optimization(SettingsModel):
    """Settings of one supervised training; a step is a gradient step.

    Raises:
        InputError: at the first setting that cannot work.
    """

    steps: Count = 25_000
    batch_size: Count | None = None
    """samples of a step, drawn at random; none is all"""
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 0.005
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """times the weights, added to the gradient"""
    checkpoints: Annotated[str, Field(description=SCHEDULES)] = "log:40"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """of the initial weights and of the order of samples"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        checkpoint_steps(self.checkpoints, self.steps, 1)
        return self


def train_supervised(
    out: Path,
    build: Builder,
    settings: Mapping[str, Any],
    loss: PerSample,
    train: PolicyData,
    config: Optimization,
    *,
    test: PolicyData | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a model into the run folder `out`.

    A call for the same training goes on from its last checkpoint, and leaves the same weights as
    one that was never interrupted.

    Args:
        out: the run's folder.
        build: makes the model, with `torch.manual_seed(config.seed)` before.
        settings: keywords of `build`, kept in every checkpoint.
        loss: per sample, of `rl_slt` or one's own; its mean over a batch is descended.
        train: inputs as `states`, and what else the loss reads.
        config: of the optimizer.
        test: held-out samples, looked at where checkpoints are left.
        progress: called with (steps done, in all) at each checkpoint.

    Returns:
        The folder.

    Raises:
        InputError: `out` holds another training.
    """
    _open(out, settings, config)
    if is_complete(out):
        return out
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(**settings)
    model.train()
    optimizer = _optimizer(model, config)
    marks = checkpoint_steps(config.checkpoints, config.steps, 1)
    done, rows = _resumed(out, model, optimizer)
    for step in range(done, config.steps + 1):
        if step in marks and (step > done or not rows):
            rows.append({"step": step} | _scores(model, loss, train, test))
            _save(out, step, model, settings, rows, optimizer)
            if progress is not None:
                progress(step, config.steps)
        if step == config.steps:
            break
        batch = _batch(train, config, step)
        optimizer.zero_grad()
        loss(model, batch).mean().backward()
        optimizer.step()
    write_json(out / "checkpoints" / "index.json", {"format": 1, "steps": marks, "finished": True})
    return out


def model_checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the complete checkpoints of a run, ascending."""
    folders = sorted((run / "checkpoints").glob("[0-9]" * 12))
    return [(int(folder.name), folder) for folder in folders if (folder / HEADER).is_file()]


def load_model(checkpoint: Path, build: Builder) -> nn.Module:
    """The model of a checkpoint's folder, in eval mode; runs no code from the file.

    Args:
        checkpoint: its folder.
        build: what made the model, called with the settings that the checkpoint holds.

    Raises:
        InputError: it is damaged, or of another model.
    """
    header = read_json_object(checkpoint / HEADER)
    data = (checkpoint / TENSORS).read_bytes()
    if hashlib.sha256(data).hexdigest() != header.get("sha256"):
        raise InputError(
            f"{checkpoint / TENSORS} is corrupt: its SHA-256 is not the one in {HEADER}"
        )
    with torch.random.fork_rng(devices=[]):
        model = build(**header["model"])
    try:
        model.load_state_dict(load_tensors(data))
    except RuntimeError as error:
        raise InputError(f"{checkpoint} holds another model: {error}") from None
    return model.eval()


def is_complete(run: Path) -> bool:
    """Whether the training has reached its end."""
    path = run / "checkpoints" / "index.json"
    return path.is_file() and bool(read_json_object(path).get("finished"))


def _open(out: Path, settings: Mapping[str, Any], config: Optimization) -> None:
    """Begin a run's folder, or see that it holds this very training."""
    asked = {"kind": "supervised", "model": dict(settings), "train": config.as_dict()}
    if (out / "config.json").is_file():
        known = read_json_object(out / "config.json")
        if changed := [name for name in asked if known.get(name) != asked[name]]:
            raise InputError(f"{out} holds another training (it differs in {', '.join(changed)})")
        for folder in (out, out / "checkpoints", out / "resume"):
            remove_leftovers(folder)
        return
    versions = {name: version(name) for name in ("torch", "numpy")}
    entry = {"name": out.name, "arm": "unnamed", "seed": config.seed} | asked
    write_json(out / "config.json", entry | {"versions": versions, "command": sys.argv})


def _optimizer(model: nn.Module, config: Optimization) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.SGD
    return kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def _batch(data: PolicyData, config: Optimization, step: int) -> PolicyData:
    """The samples of a step: different ones, drawn by seed and step alone."""
    n, size = len(data), config.batch_size
    if size is None or size >= n:
        return data
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    return data.take(torch.randperm(n, generator=generator)[:size])


@torch.no_grad()
def _scores(
    model: nn.Module, loss: PerSample, train: PolicyData, test: PolicyData | None
) -> dict[str, float]:
    """Mean loss on both sets of samples and, where targets are classes, accuracy."""
    found: dict[str, float] = {}
    for name, data in {"train": train, "test": test}.items():
        if data is None:
            continue
        found[f"{name}_loss"] = float(loss(model, data).mean())
        if data.targets is not None and not data.targets.is_floating_point():
            found[f"{name}_accuracy"] = float(
                (model(data.states).argmax(-1) == data.targets).float().mean()
            )
    found["weight_norm"] = float(sum(p.square().sum() for p in model.parameters()) ** 0.5)
    return found


def _save(
    out: Path, step: int, model: nn.Module, settings: Mapping[str, Any],
    rows: list[dict[str, float]], optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    """A checkpoint, what training needs to go on from it, and the progress so far, each whole."""
    data = save_tensors({k: v.detach().clone() for k, v in model.state_dict().items()})
    header = {
        "format": 1, "step": step, "model": dict(settings), "metrics": rows[-1],
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    with atomic_dir(out / "checkpoints" / f"{step:012d}") as folder:
        (folder / TENSORS).write_bytes(data)
        (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n")
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[-1]))
    table.writeheader()
    table.writerows(rows)
    write_bytes(out / "progress.csv", text.getvalue().encode())
    buffer = io.BytesIO()
    torch.save({"step": step, "rows": rows, "model": model.state_dict(),
                "optimizer": optimizer.state_dict()}, buffer)  # fmt: skip
    write_bytes(out / "resume" / "state.pt", buffer.getvalue())


def _resumed(
    out: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    """The step to go on from and the progress up to it, with model and optimizer as they were."""
    path = out / "resume" / "state.pt"
    if not path.is_file():
        return 0, []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["rows"]
