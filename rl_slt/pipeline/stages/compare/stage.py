"""Two agents side by side: where they differ, by how much at most, and what lies between them.

A comparison is kept with the first run, as `comparisons/KEY/`: `comparison.json` (what reports
show), `states.parquet` (a row per state), `slices.parquet`, and pictures. The key is a hash of both
agents' weights and the settings, so the same comparison is not made twice.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import nn

import envs
from agents import (
    Checkpoint,
    TrainConfig,
    find_checkpoint,
    load_policy,
    new_dir,
    publish_dir,
    write_json,
)
from analysis import compare
from envs import MOVES, Clip, NetworkPolicy, logits_of, record
from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run, open_path, training_of
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import digest, file_digest
from rl_slt.pipeline.stages.compare.slices import measure_slices
from rl_slt.pipeline.states.visits import Visits, visit

_VERSION = 3  # raise when the same settings would give other numbers
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CompareSettings:
    """How two agents are compared.

    Attributes:
        placements: coin placements of the levels where both play.
        n_states: states to compare on, from the play of both in equal parts.
        points: on each line through the weights.
        radius: of random and gradient lines, as a share of the norm of the first agent's weights.
        episodes: of the return at each point; 0 leaves the return out.
        clips: levels of largest difference that are filmed.
        seed: of levels, actions and random directions.
    """

    placements: tuple[str, ...] = ("end", "behind", "none@mid")
    n_states: int = 1536
    points: int = 11
    radius: float = 0.1
    episodes: int = 32
    clips: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for text in self.placements:
            envs.parse_placement(text)
        for name, least in (("n_states", 1), ("points", 3), ("episodes", 0), ("clips", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)} is not allowed: {least} or more")
        if not self.placements:
            raise InputError("no placement to compare on; at least one is needed")
        if not self.radius > 0:
            raise InputError(f"radius {self.radius} is not allowed: above 0")


@dataclass(frozen=True)
class Side:
    """One of the two agents."""

    run: Run
    checkpoint: Checkpoint
    policy: nn.Module
    train: TrainConfig

    @property
    def name(self) -> str:
        """`RUN@STEP`."""
        return f"{self.run.name}@{self.checkpoint.step}"


def compare_agents(
    a: Path,
    b: Path,
    settings: CompareSettings,
    steps: tuple[int | None, int | None] = (None, None),
    progress: Progress | None = None,
) -> Path:
    """Compare a checkpoint of one run with one of another run, or of the same.

    Args:
        a: the first run, where the comparison is kept; slices are taken around its weights.
        b: the second run.
        settings: of the comparison.
        steps: of the checkpoints; the last ones by default.
        progress: called with (slice points done, in all).

    Returns:
        The folder of the comparison.

    Raises:
        InputError: for a path that is no run, a step without a checkpoint, or agents that cannot be
            compared because they see other levels or have other actions.
    """
    first, second = _side(a, steps[0]), _side(b, steps[1])
    if first.train.game != second.train.game:
        raise InputError(f"{first.name} and {second.name} play different games")
    weights = [file_digest(s.checkpoint.path / "policy.safetensors") for s in (first, second)]
    if weights[0] == weights[1]:
        raise InputError(f"{first.name} and {second.name} have equal weights: nothing differs")
    key = digest([_VERSION, first.name, second.name, weights, dataclasses.asdict(settings)])
    folder = first.run.path / "comparisons" / key
    if (folder / "comparison.json").exists():
        return folder
    with stage_lock(first.run.path, "compare"):
        beside = new_dir(folder)
        try:
            _write(beside, first, second, settings, progress)
            publish_dir(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


def _side(path: Path, step: int | None) -> Side:
    run = open_path(path)
    if not isinstance(run, Run):
        raise InputError(f"{path} is a study; name one of its runs")
    known = run.checkpoints
    if not known:
        raise InputError(f"run {run.path} has no complete checkpoint yet")
    checkpoint = known[-1] if step is None else find_checkpoint(run.path, step)
    return Side(run, checkpoint, load_policy(checkpoint.path), training_of(run))


def _write(
    folder: Path, a: Side, b: Side, settings: CompareSettings, progress: Progress | None
) -> None:
    train = a.train
    seen = visit(
        {a.name: a.policy, b.name: b.policy}, settings.placements, train.settings,
        train.time_limit, settings.n_states, settings.seed,
    )  # fmt: skip
    frame = compare.compare_policies(a.policy, b.policy, seen.states, groups=seen.groups)
    slices, notes = measure_slices(a, b, seen, settings, progress)
    pd.concat([frame, seen.about], axis=1).to_parquet(folder / "states.parquet", index=False)
    slices.to_parquet(folder / "slices.parquet", index=False)
    where = compare.where_differ(frame, [*_kinds(seen)], measure="tv")
    told = {
        "a": _named(a),
        "b": _named(b),
        "settings": dataclasses.asdict(settings),
        "largest": compare.largest_deviation(frame),
        "mean": {name: float(frame[name].mean()) for name in ("kl_ab", "kl_ba", "tv")},
        "same_action": float((frame["action_a"] == frame["action_b"]).mean()),
        "kinds": _plain(where),
        "slices": _plain(slices),
        "places": [
            _place(folder, i, row, seen, (a, b), settings)
            for i, row in enumerate(_worst(frame, settings.clips))
        ],
        "notes": notes,
    }
    write_json(folder / "comparison.json", told)


def _kinds(seen: Visits) -> list[str]:
    about = seen.about
    return [f"{p}: {k}" for p, k in zip(about["placement"], about["kind"], strict=True)]


def _named(side: Side) -> dict[str, Any]:
    return {"run": side.run.name, "step": side.checkpoint.step, "arm": side.run.arm}


def _worst(frame: pd.DataFrame, n: int) -> list[dict[Any, Any]]:
    return compare.most_different(frame, n, "tv").to_dict("records")


def _place(
    folder: Path,
    number: int,
    row: dict[Any, Any],
    seen: Visits,
    sides: tuple[Side, Side],
    settings: CompareSettings,
) -> dict[str, Any]:
    """A state of large difference: its picture, what both would do, and both on its level."""
    about = seen.about.iloc[int(row["state"])]
    state = seen.states[int(row["state"])]
    picture = Image.fromarray(state.numpy()).resize((256, 256), Image.Resampling.NEAREST)
    picture.save(folder / f"{number}-state.png")
    clips = []
    for letter, side in zip("ab", sides, strict=True):
        clip = record(
            NetworkPolicy(side.policy, "sampled", settings.seed), about["placement"],
            int(about["level_seed"]), sides[0].train.settings,
            game=side.train.game, time_limit=side.train.time_limit or 500, seed=settings.seed,
        )  # fmt: skip
        clips.append(_save_clip(folder, f"{number}-{letter}", clip))
    return {
        "picture": f"{number}-state.png",
        "placement": str(about["placement"]),
        "kind": str(about["kind"]),
        "level_seed": int(about["level_seed"]),
        "visitor": str(about["visitor"]),
        "tv": float(row["tv"]),
        "moves": [_moves(side.policy, state) for side in sides],
        "clips": clips,
    }


def _save_clip(folder: Path, name: str, clip: Clip) -> dict[str, str]:
    buffer = io.BytesIO()
    strip = clip.strip(6)
    strip.resize((strip.width // 2, strip.height // 2)).save(buffer, "PNG")
    (folder / f"{name}.png").write_bytes(buffer.getvalue())
    (folder / f"{name}.gif").write_bytes(clip.gif())
    return {"strip": f"{name}.png", "file": f"{name}.gif", "outcome": clip.outcome,
            "caption": clip.caption}  # fmt: skip


@torch.inference_mode()
def _moves(policy: nn.Module, state: torch.Tensor) -> dict[str, float]:
    p = logits_of(policy(state[None])).double().softmax(-1)[0]
    return {name: float(p[list(actions)].sum()) for name, actions in MOVES.items()}


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows in JSON's own types, None for what is missing."""
    return [
        {str(k): None if isinstance(v, float) and v != v else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]
