"""Estimates to a fixed reference, from checkpoints on disk to the tables of the run."""

import json
from typing import Any

import pandas as pd
import pytest
import torch

import agents
from agents import Run
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import staircase
from rl_slt.pipeline.engine.jobs import SerialEngine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import llc
from rl_slt.pipeline.stages.analyse import analyse_run

PLAN = LLCPlan(states=("frozen",), n_states=32, chains=2, draws=300, burn_in=60, batch_size=32,
               nbeta=200.0, localization=3000.0, reference="last")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two checkpoints that act differently."""
    path = tmp_path_factory.mktemp("runs") / "r"
    spec = NetworkSpec("patch", {})
    for step in (0, 64):
        torch.manual_seed(step)
        policy = spec.build()
        with torch.no_grad():
            policy.policy_head.weight.mul_(100)
        save_checkpoint(path, step, policy, spec, {})
    write_index(path, finished=True)
    config = agents.TrainConfig(network="patch", time_limit=30, steps=1000)
    entry = {"name": "r", "arm": "one", "seed": 0, "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return Run(path)


def rows(run: Run, plan: LLCPlan) -> Any:
    assert not llc.estimate_runs([run], plan, SerialEngine())
    return pd.read_parquet(run.tables / "llc.parquet").set_index("step")


def test_a_checkpoint_away_from_the_reference_has_no_llc_in_any_table(run: Run) -> None:
    found = rows(run, PLAN)
    made = ["llc", "llc_stderr", "llc_stderr_states", "llc_stderr_total"]
    first, last = (found.loc[step] for step in (0, 64))
    assert (first["status"], last["status"]) == ("failed", "ok"), found["message"].tolist()
    assert first[made].isna().all() and last[made].notna().all()
    assert "w* is no minimum" in str(first["message"]) and float(first["loss_init"]) > 0.01
    analyse_run(run)
    stairs = pd.read_parquet(run.tables / "staircase.parquet")
    assert stairs["step"].tolist() == [64]


def test_a_constrained_llc_is_a_series_of_its_own(run: Run) -> None:
    rows(run, PLAN)
    both = rows(run, PLAN.replace(sampler="orthogonal_sgld")).reset_index()
    free = both["params"].eq("orthogonal to the gradient")
    assert (free == both["sampler"].eq("orthogonal_sgld")).all() and free.sum() == 2
    names = set(staircase(both)["series"])
    assert names <= {"kl/frozen/r@64", "kl/frozen/r@64/orthogonal to the gradient"}
    assert "kl/frozen/r@64" in names
