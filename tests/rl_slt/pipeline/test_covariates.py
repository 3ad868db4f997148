"""Covariates: exact on policies with known answers, made once, and left alone by damage."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages import covariates
from tests.rl_slt.cli.conftest import change_config

PLAN = LLCPlan(n_states=32, batch_size=16)


class Fixed(torch.nn.Module):
    """The same logits in every state."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(states), -1)


def test_known_answers() -> None:
    states = torch.zeros(5, 3)
    p, q = Fixed([math.log(0.25), math.log(0.75)]), Fixed([0.0, 0.0])
    found = covariates.measure(p, q, states)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert found["entropy"] == pytest.approx(entropy)
    assert found["step_kl"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert found["weight_norm"] == pytest.approx(math.hypot(*p.logits.tolist()))
    assert math.isnan(covariates.measure(p, None, states)["step_kl"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "r"
    config = agents.TrainConfig(network="small", time_limit=20, steps=3000)
    spec = NetworkSpec("small", {})
    for k in range(3):
        torch.manual_seed(k)
        save_checkpoint(path, 1000 * k, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": "r", "seed": 0, "kind": "train", "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    (path / "progress.csv").write_text("step,mean_return\n900,9.5\n1900,4.5\n2900,5.5\n")
    return Run(path)


def test_each_checkpoint_is_measured_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert covariates.collect_runs([run], PLAN) == []
    table = pd.read_parquet(run.tables / "covariates.parquet")
    assert table["step"].tolist() == [0, 1000, 2000]
    # 64 environments have not played 20 steps each at step 900: only quick successes have ended.
    assert table["return"].isna().tolist() == [True, True, False]
    assert table["return"].tolist()[2] == 4.5
    assert math.isnan(table["step_kl"][0]) and (table["step_kl"][1:] > 0).all()
    assert (table["entropy"] < 1.80).all()  # of distinct actions: uniform over 15 keys has 1.797
    assert not table["final"].any()  # it was trained for all its steps
    monkeypatch.setattr(covariates, "measure", lambda *a: pytest.fail("measured again"))
    assert covariates.collect_runs([run], PLAN) == []
    change_config(run.path, stop_return=5.0)
    for finished in (True, False):  # a training under way has not ended at its last checkpoint
        write_index(run.path, finished=finished)
        assert covariates.collect_runs([Run(run.path)], PLAN) == []
        table = pd.read_parquet(run.tables / "covariates.parquet")
        assert table["final"].tolist() == [False, False, finished]


def test_a_damaged_checkpoint_is_left_out_with_the_step_from_it(run: Run) -> None:
    broken = run.path / "checkpoints" / "000000001000" / "policy.safetensors"
    broken.write_bytes(broken.read_bytes()[:-7])
    assert covariates.collect_runs([run], PLAN) == []
    table = pd.read_parquet(run.tables / "covariates.parquet")
    assert table["step"].tolist() == [0]
