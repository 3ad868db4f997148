"""Two agents side by side: a whole comparison in small, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from envs import FROZEN_LEVELS
from rl_slt.errors import InputError
from rl_slt.pipeline.plan.study import CompareSettings
from rl_slt.pipeline.stages import compare
from rl_slt.pipeline.stages.compare import compare_agents, kinds, kl_to
from rl_slt.versions import STAGES

SMALL = CompareSettings(
    placements=("behind",), n_states=16, points=3, episodes=2, clips=1, levels=4
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "r"
    config = agents.TrainConfig(network="small", time_limit=20, steps=2000)
    spec = NetworkSpec("small", {})
    for k in range(2):
        torch.manual_seed(k)
        save_checkpoint(path, 1000 * k, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {
        "name": "r",
        "arm": "coin moved",
        "seed": 0,
        "kind": "train",
        "train": config.as_dict(),
    }
    (path / "config.json").write_text(json.dumps(entry))
    return path


def test_a_comparison_is_whole_and_made_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = compare_agents(run, run, SMALL, (0, 1000))
    payload = json.loads((folder / "comparison.json").read_text())
    assert (payload["a"]["step"], payload["b"]["step"]) == (0, 1000)
    states = pd.read_parquet(folder / "states.parquet")
    assert len(states) == 16 and payload["largest"]["largest"] == states["tv"].max()
    slices = pd.read_parquet(folder / "slices.parquet")
    for frame in (states, slices):
        assert set(frame["version"]) == {STAGES["compare"]} and set(frame["arm"]) == {"coin moved"}
    assert set(slices["kind"]) == {"random", "gradient", "between"}
    own = slices[slices["measure"] == "KL from r@0"]
    assert own.loc[own["distance"] == 0, "value"].abs().max() < 1e-6
    to = slices[(slices["measure"] == "KL from r@1000") & (slices["fraction"] == 1)]
    assert to["value"].abs().max() < 1e-6
    earned = slices[slices["measure"] == "return"]  # of 2 episodes: all ends alike happen
    assert (earned["ci_high"] - earned["ci_low"] > 3).all()
    assert earned["ci_low"].min() >= 0 and earned["ci_high"].max() <= 10
    plays = pd.read_parquet(folder / "plays.parquet")
    assert plays["player"].tolist() == ["a"] * 4 + ["b"] * 4 and set(plays["limit"]) == {20}
    assert set(plays["level_seed"]) == {*range(FROZEN_LEVELS[0], FROZEN_LEVELS[0] + 4)}
    assert len(payload["bounds"]) == 9 and payload["confidence"] == 0.95
    state = payload["places"][0]
    for name in (state["picture"], *(c[k] for c in state["clips"] for k in ("strip", "file"))):
        assert (folder / name).stat().st_size > 0
    monkeypatch.setattr(compare, "_write", lambda *a: pytest.fail("made again"))
    assert compare_agents(run, run, SMALL, (0, 1000)) == folder


def test_what_cannot_be_compared_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="equal weights"):
        compare_agents(run, run, SMALL)
    with pytest.raises(ValueError, match="777"):
        compare_agents(run, run, SMALL, (777, None))
    entry = json.loads((run / "config.json").read_text())
    entry["train"]["game"] = "maze"
    (run / "config.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match="r@0 plays maze: no agents of it can be compared"):
        compare_agents(run, run, SMALL, (0, 1000))
    assert not (run / "comparisons").exists()
    with pytest.raises(InputError, match="points=2: must be an integer at least 3"):
        CompareSettings(points=2)


def test_kinds_say_where_the_coin_is_seen() -> None:
    coin = np.array([[4.0, 1.0], [12.0, 1.0], [30.0, 1.0], [np.nan, np.nan], [-1.0, -1.0]])
    info = {"coin_xy": coin, "agent_xy": np.tile([8.0, 1.0], (5, 1))}
    assert kinds(info) == [
        "coin in view, to the left", "coin in view, to the right", "coin out of view",
        "no coin in the level", "no coin in the level",
    ]  # fmt: skip


def test_the_loss_of_slices_is_the_kl() -> None:
    log_p = torch.log(torch.tensor([[0.25, 0.75]], dtype=torch.float64)).expand(3, 2)
    policy = torch.nn.Linear(4, 2)
    torch.nn.init.zeros_(policy.weight)
    torch.nn.init.zeros_(policy.bias)
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert float(kl_to(policy, torch.zeros(3, 4), log_p).detach()) == pytest.approx(expected)
