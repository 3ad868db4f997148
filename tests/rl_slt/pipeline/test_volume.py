"""`rl-slt volume` and `rl-slt steer` on a run: what they keep, and that it is made once."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from rl_slt import InputError
from rl_slt.pipeline.commands import volume as command
from rl_slt.pipeline.commands.steer import steer
from rl_slt.pipeline.commands.volume import volume
from tests.rl_slt.cli.conftest import change_config, sound_run

RIGHT = 7  # action


def test_volumes_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LEVELS", 4)
    run, spec = sound_run(tmp_path / "run", steps=()), NetworkSpec("patch", {})
    policy = spec.build()
    policy.get_parameter("policy_head.weight").data.zero_()  # it sees nothing, so no coin
    policy.get_parameter("policy_head.bias").data[RIGHT] += 4.0
    save_checkpoint(run, 0, policy, spec, {})
    write_index(run, finished=True)
    few: dict[str, Any] = {"params": "policy_head.bias", "n_states": 24, "chains": 2,
                           "draws": 20, "burn_in": 10, "batch_size": 12,
                           "profile": (5.0,)}  # fmt: skip
    ask: dict[str, Any] = dict(goals=("right", "coin"), radii=(0.1,), directions=64, particles=4)
    lines = volume(run, few, **ask, out=tmp_path / "v.csv")
    table = pd.read_parquet(run / "tables" / "volume.parquet")
    assert len(lines) == 1 + len(table) == 1 + 3 + 2 * 3 + 1
    kept, goal, coin = (table[table["quantity"] == n] for n in ("policy", "right", "coin"))
    assert coin["status"].tolist() == ["refused"]  # of rounding alone
    assert coin["message"].str.contains("0.000 has no sign to keep").all()
    assert kept["relative_temperature"].round(6).eq(5).all() and kept["cutoff"].gt(0).all()
    assert set(goal["method"]) == {"splitting", "gaussian", "rays"}
    assert goal["radius"].eq(0.1).all() and set(goal["keep"]) == {0.0, 0.5}
    assert (goal["dof"].eq(3) == goal["method"].eq("splitting")).all()  # of four populations
    assert (goal["score"] > 0.5).all() and goal["minus_log_share"].abs().max() < 0.01
    for name, part in (("free_energy", kept), ("minus_log_share", goal)):
        assert (part[name].notna() == (part["status"] != "refused")).all()
        assert (part[name].dropna() > -1e-9).all()
    assert len(pd.read_csv(tmp_path / "v.csv")) == len(table)
    assert volume(run, few, **ask) == lines
    monkeypatch.setattr(command, "make", None)  # what is wrong is refused before the profile
    for wrong, why in (
        ({"radii": (-1,)}, "radius=-1: must be a finite number above 0"),
        ({"radii": (1.0, math.inf)}, "radius=inf: must be a finite number above 0"),
        ({"directions": 63}, "directions=63: must be at least 64"),
        ({"particles": 3}, "particles=3: must be at least 4"),
    ):
        with pytest.raises(InputError, match=why):
            volume(run, few, **ask | wrong)
    monkeypatch.undo()
    monkeypatch.setattr(command, "LEVELS", 4)

    assert len(volume(run, few, **ask | {"goals": ("none",)})) == 1 + 3
    change_config(run, game="maze")
    with pytest.raises(InputError, match="goals='right': must be none in the game maze"):
        volume(run, few, **ask)


def test_steering_of_a_run(tmp_path: Path) -> None:
    run = sound_run(tmp_path / "run", steps=(0,))
    ask: dict[str, Any] = dict(probes=("behind",), levels=8, controls=2)
    lines = steer(run, **ask, out=tmp_path / "s.csv")
    table = pd.read_parquet(run / "tables" / "steering.parquet")
    assert len(lines) == 1 + len(table) == 1 + 6 + 3 * 4
    assert set(table["probe"]) == {"states", "behind"} and table["module"].eq("body.fc").all()
    changed = table.dropna(subset=["ci_low"])
    assert changed["value"].between(changed["ci_low"], changed["ci_high"]).all() and len(changed)
    assert (table.loc[~table.index.isin(changed.index), "value"] == 0).all()
    assert len(pd.read_csv(tmp_path / "s.csv")) == len(table)
    assert steer(run, **ask) == lines
    for wrong in (math.nan, math.inf):
        with pytest.raises(InputError, match=f"strength={wrong}: must be a finite number"):
            steer(run, **ask, strength=wrong)
