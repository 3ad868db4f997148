"""A run as training leaves it, made without training, and settings small enough for a test."""

import json
from pathlib import Path

import pytest
import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan

STEPS = (0, 512, 1024)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with three checkpoints of different weights."""
    torch.manual_seed(0)
    path = tmp_path / "run"
    config = agents.TrainConfig(
        network="small", steps=1024, num_envs=8, n_steps=32, batch_size=64, time_limit=50,
        levels=(0, 1000),
    )  # fmt: skip
    spec = NetworkSpec("small", {})
    for step in STEPS:
        save_checkpoint(path, step, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": "run", "arm": "end", "seed": 0, "kind": "train", "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return Run(path)


@pytest.fixture
def plan() -> LLCPlan:
    """Three small estimates: one for each checkpoint."""
    return LLCPlan(
        states=("frozen",), n_states=48, chains=2, draws=8, burn_in=4, batch_size=16,
        sampler="baoab", preconditioner_rank=0,
    )  # fmt: skip
