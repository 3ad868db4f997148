"""Pictures of levels and films of agents, as files that open."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint
from rl_slt import InputError
from rl_slt.cli import main
from rl_slt.pipeline.commands import pictures


def rl_slt(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in argv])
    return int(end.value.code or 0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    config = agents.TrainConfig(network="small", time_limit=30, steps=1)
    torch.manual_seed(0)
    spec = NetworkSpec("small", {})
    save_checkpoint(tmp_path / "r", 0, spec.build(), spec, {})
    entry = {"name": "r", "seed": 0, "kind": "train", "train": config.as_dict()}
    (tmp_path / "r" / "config.json").write_text(json.dumps(entry))
    return tmp_path / "r"


def test_a_sheet_of_levels(tmp_path: Path) -> None:
    assert rl_slt("levels", "--coin", "behind", "--seeds", "3:5", "--out", tmp_path / "s.png") == 0
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.height > 300


def test_fields_of_several_agents_and_checkpoints(run: Path, tmp_path: Path) -> None:
    assert rl_slt("field", run, "--step", 0, "--coin", "none", "--out", tmp_path / "f.png") == 0
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 600


@pytest.mark.parametrize("who", ["agent", "coin-blind", "random"])
def test_a_film(run: Path, tmp_path: Path, who: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"{who}.gif"
    assert rl_slt("rollout", run, "--policy", who, "--coin", "none", "--out", out) == 0
    with Image.open(out) as film:
        assert 1 < film.n_frames <= 31
    assert "coin none, level 2000000000" in capsys.readouterr().out


def test_a_film_without_a_limit_has_that_of_the_game(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = agents.TrainConfig(network="small", game="maze", coin="ground", steps=1)
    (run / "config.json").write_text(json.dumps({"name": "r", "train": config.as_dict()}))
    seen: list[int] = []

    def record(*args: object, time_limit: int, **others: object) -> None:
        seen.append(time_limit)
        raise InputError("seen")

    monkeypatch.setattr(pictures, "record_clip", record)
    assert rl_slt("rollout", run, "--policy", "random", "--out", tmp_path / "x.gif") == 2
    assert seen == [500]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--policy", "moon"],
            "policy='moon': must be one of agent, coin-blind, random, coin-seeker",
        ),
        (["--step", "7"], "step=7: must be that of a checkpoint of"),
        (["--coin", "moon"], "'moon'"),
        (["--mode", "moon"], "'moon'"),
    ],
)
def test_wrong_values(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert rl_slt("rollout", run, *argv, "--out", tmp_path / "x.gif") == 2
    assert message in capsys.readouterr().err
    assert rl_slt("rollout", run, "--out", tmp_path / "x.mov") == 2
    assert not list(tmp_path.glob("x.*"))
