"""Training writes a run that can be killed anywhere, and refuses what it cannot do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import agents
from agents.config import TrainConfig
from agents.devices import chosen_precision
from agents.resume import resume_points
from agents.training import build_model
from rl_slt import InputError

CONFIG = TrainConfig(
    network="small",
    num_envs=4,
    n_steps=16,
    batch_size=32,
    micro_batch=16,
    steps=64 * 7,
    checkpoints="list:128,256",
    anneal_lr=True,
    resume_seconds=0,
    tensorboard=False,
)


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def outputs(run: Path) -> dict[str, bytes]:
    files = [*run.glob("checkpoints/*/*"), run / "progress.csv", run / "checkpoints/index.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def kill_at(call: int) -> Callable[[int, int], None]:
    calls = iter(range(10**6))

    def progress(_done: int, _total: int) -> None:
        if next(calls) == call:
            raise Killed

    return progress


@pytest.mark.usefixtures("fake_envs")
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.train(CONFIG, tmp_path / "whole")
    expected = outputs(tmp_path / "whole")
    assert [c.step for c in agents.list_checkpoints(tmp_path / "whole")] == [0, 128, 256, 448]

    part = tmp_path / "part"
    for call in (0, 1, 2):  # killed after some updates of each try
        with pytest.raises(Killed):
            agents.train(CONFIG, part, resume=True, progress=kill_at(call))
    # Killed after checkpoint and progress were written, before the resume point was.
    with monkeypatch.context() as patch:
        patch.setattr("agents.callback.save_resume", lambda *a: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            agents.train(CONFIG, part, resume=True)
    assert not agents.is_finished(part)
    agents.train(CONFIG, part, resume=True)
    assert outputs(part) == expected
    assert agents.is_finished(part)
    assert [p.name for p in resume_points(part)] == ["000000000448"]


@pytest.mark.usefixtures("fake_envs")
def test_resumed_on_another_processor_keeps_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    auto = CONFIG.replace(precision="auto")
    with pytest.raises(Killed):
        agents.train(auto, tmp_path / "moved", progress=kill_at(2))
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    agents.train(auto, tmp_path / "moved", resume=True)
    agents.train(CONFIG.replace(precision="bfloat16"), tmp_path / "whole")
    assert outputs(tmp_path / "moved") == outputs(tmp_path / "whole")


@pytest.mark.usefixtures("fake_envs")
def test_interrupt_saves_and_resumes(tmp_path: Path) -> None:
    import os
    import signal

    def press(done: int, _total: int) -> None:
        if done == 128:
            os.kill(os.getpid(), signal.SIGINT)

    config = CONFIG.replace(resume_seconds=1e6)
    with pytest.raises(KeyboardInterrupt):
        agents.train(config, tmp_path / "a", progress=press)
    assert [p.name for p in resume_points(tmp_path / "a")] == ["000000000192"]
    agents.train(config, tmp_path / "a", resume=True)
    agents.train(config, tmp_path / "b")
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b")


@pytest.mark.usefixtures("fake_envs")
def test_other_runs_are_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    agents.train(CONFIG, run)
    before = outputs(run)
    with pytest.raises(InputError, match="already holds a run"):
        agents.train(CONFIG, run)
    with pytest.raises(InputError, match="its seed is 0, not 1"):
        agents.train(CONFIG.replace(seed=1), run, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="thesis"):
        agents.train(CONFIG, tmp_path / "other", resume=True)
    for device in ("cuda:77", "tpu", "meta"):
        with pytest.raises(InputError, match=rf"device='{device}': must be available here \(cpu"):
            agents.train(CONFIG.replace(device=device), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert outputs(run) == before


@pytest.mark.usefixtures("fake_envs")
def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    def second(_done: int, _total: int) -> None:
        with pytest.raises(InputError, match="another process"):
            agents.train(CONFIG, tmp_path / "run", resume=True)

    agents.train(CONFIG, tmp_path / "run", progress=second)


@pytest.mark.usefixtures("fake_envs")
def test_early_stop_leaves_a_last_checkpoint(tmp_path: Path) -> None:
    config = CONFIG.replace(stop_return=0.0, num_envs=8, steps=10**6, checkpoints="list:0")
    agents.train(config, tmp_path)
    steps = [c.step for c in agents.list_checkpoints(tmp_path)]
    assert len(steps) == 2 and 128 < steps[1] < 10**4
    assert agents.is_finished(tmp_path)


@pytest.mark.usefixtures("fake_envs")
def test_the_run_says_how_it_was_made(tmp_path: Path) -> None:
    agents.train(CONFIG, tmp_path / "x", arm="first")
    entry = json.loads((tmp_path / "x" / "config.json").read_bytes())
    assert (entry["name"], entry["arm"], entry["seed"]) == ("x", "first", 0)
    assert TrainConfig(**entry["train"]) == CONFIG
    assert {"torch", "numpy"} <= set(entry["versions"])


def arm_of(run: Path) -> str:
    return str(json.loads((run / "config.json").read_bytes())["arm"])


@pytest.mark.usefixtures("fake_envs")
def test_every_run_has_an_arm_and_keeps_it(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    agents.train(CONFIG, a)
    assert arm_of(a) == "unnamed"  # never the placement: another arm may share it
    agents.train(CONFIG, b, arm="dose-5")
    agents.train(CONFIG, b, resume=True)
    assert arm_of(b) == "dose-5"
    with pytest.raises(InputError, match="its arm is 'dose-5', not 'dose-9'"):
        agents.train(CONFIG, b, resume=True, arm="dose-9")
    with pytest.raises(InputError, match=r"arm='\.\./x': must be at most 100 letters"):
        agents.train(CONFIG, tmp_path / "c", arm="../x")
    assert not (tmp_path / "c").exists()


@pytest.mark.usefixtures("fake_envs")
def test_a_branch_inherits_its_arm(tmp_path: Path) -> None:
    agents.train(CONFIG, tmp_path / "a", arm="end")
    branch = agents.branch_config(tmp_path / "a", 128, steps=64)
    agents.train(branch, tmp_path / "b")
    agents.train(branch, tmp_path / "c", arm="other")
    assert (arm_of(tmp_path / "b"), arm_of(tmp_path / "c")) == ("end", "other")


@pytest.mark.usefixtures("fake_envs")
def test_a_branch_under_another_condition_is_not_of_its_parents_arm(tmp_path: Path) -> None:
    agents.train(CONFIG, tmp_path / "a", arm="mine")
    branches: dict[str, tuple[str, dict[str, Any]]] = {
        "same": ("mine", {"seed": 5, "checkpoints": "list:0", "eval_episodes": 7}),
        "coin": ("unnamed", {"coin": "behind"}),
        "rate": ("unnamed", {"lr": 1e-5}),
    }
    for name, (arm, changes) in branches.items():
        branch = agents.branch_config(tmp_path / "a", 128, steps=64, **changes)
        agents.train(branch, tmp_path / name)
        assert arm_of(tmp_path / name) == arm, name
    branch = agents.branch_config(tmp_path / "a", 128, steps=64, coin="behind")
    agents.train(branch, tmp_path / "named", arm="theirs")
    assert arm_of(tmp_path / "named") == "theirs"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"batch_size": 48}, "batch_size=48: must be a divisor of the 64 steps"),
        (
            {"network": "huge"},
            "network='huge': must be one of conv, impala, mlp, nature, patch, small",
        ),
        ({"network_kwargs": {"depth": 3}}, "depth: unknown setting of network 'small'"),
        ({"checkpoints": "often"}, "checkpoints='often': must be log:N"),
        ({"levels": (5, 5)}, r"levels=\(5, 5\): must be all, or a range"),
        ({"precision": "half"}, "precision='half': must be float32, bfloat16 or auto"),
        ({"gamma": 1.5}, "gamma=1.5: must be a finite number from 0 to 1"),
        ({"lr": float("nan")}, "lr=nan: must be a finite number above 0"),
        ({"clip_value": 0.0}, "clip_value=0.0: must be a finite number above 0, or none"),
        ({"steps": 0}, "steps=0: must be an integer at least 1"),
        ({"coin": "moon"}, "moon"),
        ({"eval_levels": (3, 2)}, r"eval_levels=\(3, 2\): must be"),
        ({"from_step": 5}, "from_step=5: must be given together with from_run"),
        ({"learning_rate": 1}, "learning_rate: unknown setting; allowed: coin"),
    ],
)
def test_wrong_settings(change: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        CONFIG.replace(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("fake_envs")
def test_training_leaves_torch_as_it_was(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    agents.train(CONFIG.replace(threads=2, steps=64), tmp_path)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("tiles", "pairs", "held", "expected"),
    [(True, True, "AVX512", "bfloat16"), (False, True, "AVX512", "float32"),
     (False, False, "AVX512", "float32"), (True, True, "AVX2", "float32")],
)  # fmt: skip
@pytest.mark.usefixtures("fake_envs")
def test_auto_takes_the_faster_precision(
    tiles: bool,
    pairs: bool,
    held: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: held)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: pairs)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: not pairs)
    assert (chosen_precision("auto", torch.device("cuda")) == "float32") == pairs
    assert chosen_precision("float32", torch.device("cpu")) == "float32"
    agents.train(CONFIG.replace(precision="auto", steps=64), tmp_path)
    assert json.loads((tmp_path / "config.json").read_bytes())["precision"] == expected
    agents.train(CONFIG.replace(precision=expected, steps=64), tmp_path / "named")
    assert outputs(tmp_path) == outputs(tmp_path / "named")


@pytest.mark.parametrize(("network", "expected"), [("patch", 512), ("small", 256), ("impala", 64)])
def test_micro_batches_suit_the_network(network: str, expected: int, fake_vec: Any) -> None:
    config = CONFIG.replace(micro_batch=None, network=network)
    assert build_model(config, fake_vec(4), torch.device("cpu")).micro_batch == expected
    given = build_model(config.replace(micro_batch=16), fake_vec(4), torch.device("cpu"))
    assert given.micro_batch == 16
