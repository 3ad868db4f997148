"""Checkpoints are whole, load without running code, and name what is wrong with them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import agents
from agents.checkpoints import Checkpoint, NetworkSpec, save_checkpoint, write_index
from agents.files import write_json
from rl_slt import InputError

SPEC = NetworkSpec("small", {"width": 8})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return save_checkpoint(tmp_path, 5, SPEC.build(), SPEC, {"mean_return": float("nan")})


def test_round_trip(tmp_path: Path) -> None:
    network = SPEC.build()
    checkpoint = save_checkpoint(tmp_path, 12, network, SPEC, {"mean_return": 1.5})
    state = torch.get_rng_state()
    loaded = agents.load_policy(checkpoint)
    assert torch.equal(torch.get_rng_state(), state)
    assert not loaded.training
    obs = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    for a, b in zip(loaded(obs), network(obs), strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)
    header = json.loads((checkpoint.path / "policy.json").read_bytes())
    assert header["step"] == 12 and header["metrics"] == {"mean_return": 1.5}


def test_nan_metrics_become_null(checkpoint: Checkpoint) -> None:
    header = json.loads((checkpoint.path / "policy.json").read_bytes())
    assert header["metrics"] == {"mean_return": None}


def test_only_complete_checkpoints_are_listed(tmp_path: Path, checkpoint: Checkpoint) -> None:
    (tmp_path / "checkpoints" / "000000000009").mkdir()
    (tmp_path / "checkpoints" / ".tmp-000000000008-x").mkdir()
    assert agents.list_checkpoints(tmp_path) == [checkpoint]
    assert agents.list_checkpoints(tmp_path / "missing") == []
    with pytest.raises(InputError, match="step=9: must be that of a checkpoint of"):
        agents.find_checkpoint(tmp_path, 9)


def change(**changes: object) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        header = json.loads((path / "policy.json").read_bytes())
        write_json(path / "policy.json", header | changes)

    return edit


def flip_a_byte(path: Path) -> None:
    data = bytearray((path / "policy.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "policy.safetensors").write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (flip_a_byte, "corrupt: its SHA-256"),
        (lambda p: (p / "policy.json").write_text("{"), "not JSON"),
        (lambda p: (p / "policy.json").write_text("[]"), "corrupt: format: missing"),
        (lambda p: (p / "policy.json").unlink(), "not a checkpoint"),
        (lambda p: (p / "policy.safetensors").unlink(), "not a checkpoint"),
        (change(format=99), "corrupt: format=99: must be 1"),
        (change(network={"name": "nature", "kwargs": {}}), "another architecture"),
        (
            change(network={"name": "../../etc", "kwargs": {}}),
            r"network='\.\./\.\./etc': must be one of",
        ),
        (change(network={"name": "small", "kwargs": {"width": 9}}), "another architecture"),
        (change(network={"name": "small"}), r"corrupt: network\.kwargs: missing"),
        (
            change(network={"name": "small", "kwargs": {"width": "x"}}),
            "width='x': must be an integer from 1 to 4096",
        ),
        (change(n_actions=3), "another architecture"),
        (change(obs_shape=[1]), r"corrupt: obs_shape\.1: missing"),
    ],
)
def test_damage_is_named(
    checkpoint: Checkpoint, damage: Callable[[Path], None], match: str
) -> None:
    damage(checkpoint.path)
    with pytest.raises(InputError, match=match) as caught:
        agents.load_policy(checkpoint.path)
    assert "\n" not in str(caught.value)


def test_checkpoints_are_listed_by_step_and_none_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` and `watch` list again and again, a thousand checkpoints on a network's disk."""
    path = save_checkpoint(tmp_path, 41, SPEC.build(), SPEC, {}).path
    for step in (900, 3, 100_000):
        shutil.copytree(path, path.with_name(f"{step:012d}"))
    write_index(tmp_path, finished=True)
    assert agents.is_finished(tmp_path)

    def refuse(file: object, *_: object, **__: object) -> None:
        raise AssertionError(f"{file} is opened")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    assert [c.step for c in agents.list_checkpoints(tmp_path)] == [3, 41, 900, 100_000]


def test_loading_needs_no_stable_baselines3(checkpoint: Checkpoint) -> None:
    code = (
        "import sys; sys.modules['stable_baselines3'] = None; import agents; from pathlib import "
        f"Path; agents.load_policy(Path({str(checkpoint.path)!r})); print('loaded')"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert out.stdout == "loaded\n" and out.stderr == ""


def test_a_run_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    for given in ({}, {"format": 1}):
        (tmp_path / "config.json").write_text(json.dumps(given))
        assert agents.Run(tmp_path).config == given
    (tmp_path / "config.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match=r"format=2: must be at most 1; .*newer rl-slt"):
        _ = agents.Run(tmp_path).config
