"""Status tells done, running, failed and missing, and how long the rest will take."""

import json
import os
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from analysis import schema
from rl_slt.pipeline.commands.status import describe, item_seconds, steps_per_second
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import ItemStore, failures, record_failure

STEPS = (0, 256, 512, 768)


def make_run(path: Path, finished: bool = True, steps: tuple[int, ...] = STEPS) -> Run:
    config = agents.TrainConfig(network="small", steps=1024, num_envs=8, n_steps=32, batch_size=64)
    spec = NetworkSpec("small", {})
    torch.manual_seed(0)
    network = spec.build()
    for step in steps:
        folder = save_checkpoint(path, step, network, spec, {}).path
        os.utime(folder / "policy.json", (1000 + step / 8, 1000 + step / 8))  # 8 steps a second
    write_index(path, finished=finished)
    entry = {"name": path.name, "arm": "a", "seed": 0, "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    (path / "progress.csv").write_text("step\n256\n512\n768\n")
    return Run(path)


def put(
    run: Run, step: int, number: int, status: str = "ok", states: str = "frozen", nats: float = 0.0
) -> None:
    """A finished estimate that was written `number` times 30 s after the first."""
    kinds = {"s": "", "i": 0, "f": 1.0, "b": False}
    row = {name: kinds[kind] for name, kind in schema.TABLES["llc"].items()}
    row |= {"run": run.name, "step": step, "loss": "kl", "states": states, "status": status}
    row |= {"setting_id": "s", "message": "drifts" if status != "ok" else ""}
    row["matched_entropy"] = nats or float("nan")
    store = ItemStore(run.path, "llc")
    store.put(f"{states}-{step}", {"llc": pd.DataFrame([row])})
    os.utime(store.root / f"{states}-{step}", (1000 + 30 * number, 1000 + 30 * number))


def test_done_missing_suspect_and_what_is_left(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    put(run, 0, 0)
    put(run, 256, 1, status="suspect")
    reported = describe(run.path)
    assert "  training: done, 1,024 steps" in reported
    assert "  checkpoints: 4, last at step 768" in reported
    assert "  llc kl on frozen: 2 of 4 checkpoints, 2 missing" in reported
    assert "    suspect: step 256 kl on frozen: drifts" in reported
    assert "  probe: missing" in reported
    assert reported[-1] == "left at the speed so far: llc 60 s"
    put(run, 512, 2, status="suspect", nats=1.0)
    assert "    suspect: step 512 kl on frozen at 1 nats: drifts" in describe(run.path)


def test_a_failed_unit_is_named_until_it_succeeds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    record_failure(run, "llc of run at step 256", "file is corrupt")
    assert any("failed: llc of run at step 256: file is corrupt (" in x for x in describe(run.path))
    record_failure(run, "llc of run at step 256", "")
    assert failures(run) == []
    record_failure(Run(tmp_path / "never-begun"), "training of it", "no such device")
    assert not (tmp_path / "never-begun").exists()


def test_running_stages_and_training_are_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished=False)
    with stage_lock(run.path, "llc"):
        seen: list[str] = []
        looker = threading.Thread(target=lambda: seen.extend(describe(run.path)))
        looker.start()
        looker.join()
    assert any(x.startswith(f"  llc: missing (running: process {os.getpid()} since") for x in seen)
    assert "  training: not finished, 768 of 1,024 steps" in seen
    assert "left at the speed so far: training 32 s" in seen[-1]  # 256 steps at 8 a second
    from filelock import FileLock

    with FileLock(run.path / ".lock"):
        assert "  training: running, 768 of 1,024 steps" in describe(run.path)


@pytest.mark.parametrize("command", ["calibrate", "compare", "watch"])
def test_other_commands_are_seen_while_they_run(tmp_path: Path, command: str) -> None:
    run = make_run(tmp_path / "runs" / "a-s0")
    study = {"arms": {"a": {"coin": "end"}}, "seeds": [0], "settings": {}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    with stage_lock(run.path, command), stage_lock(tmp_path, "run"):
        reported = describe(tmp_path)
    assert reported[1].startswith(f"  run: running, process {os.getpid()} since ")
    assert sum(x.startswith(f"  {command}: running, process {os.getpid()}") for x in reported) == 1
    assert not any("running" in line for line in describe(tmp_path))


def test_a_study_tells_what_its_plan_wants(tmp_path: Path) -> None:
    plan = {"losses": ["kl"], "states": ["frozen", "on-policy"]}
    study = {"arms": {"a": {"coin": "end"}}, "seeds": [0, 1], "settings": {"llc": plan}}
    run = make_run(tmp_path / "runs" / "a-s0")
    (tmp_path / "study.json").write_text(json.dumps(study))
    for number, step in enumerate(STEPS):
        put(run, step, number)
    reported = describe(tmp_path)
    assert "run a-s1: missing, not begun" in reported and "report: missing" in reported
    assert "  llc kl on frozen: 4 of 4 checkpoints" in reported
    assert "  llc kl on on-policy: 0 of 4 checkpoints, 4 missing" in reported
    left = "training 2 min, llc 2 min; of runs that have not begun training alone counts"
    assert reported[-1] == f"left at the speed so far: {left}"  # 1,024 steps; 4 x 30 s


def test_a_night_between_two_commands_does_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for number, step in enumerate(STEPS[:3]):
        put(run, step, number)
    put(run, STEPS[3], 2000)
    assert item_seconds([run], "llc") == 30
    assert steps_per_second(run) == pytest.approx(8)
    assert item_seconds([run], "probe") is None
