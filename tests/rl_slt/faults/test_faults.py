"""Full disks, unreadable checkpoints, NaN weights, lost schedulers: each costs its own units."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from distributed.cli import dask_scheduler, dask_worker
from safetensors.torch import load_file, save

from agents.checkpoints import HEADER, TENSORS
from rl_slt.cli import main
from rl_slt.pipeline.commands.status import describe
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.locks import stage_lock
from rl_slt.pipeline.disk.store import ItemStore, failures
from rl_slt.pipeline.engine import jobs
from rl_slt.pipeline.engine.jobs import Job, SerialEngine, open_engine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import estimate_runs
from tests.forked import Forked, rl_slt

OPTIONS = [
    "--states", "frozen", "--n-states", "48", "--chains", "2", "--draws", "8",
    "--burn-in", "4", "--batch-size", "16", "--sampler", "baoab", "--preconditioner-rank", "0",
]  # fmt: skip
RLSLT = [sys.executable, "-c", "from rl_slt.cli import main; main()"]


def rows(run: Run) -> pd.DataFrame:
    frame = pd.read_parquet(run.tables / "llc.parquet")
    return frame.drop(columns=["seconds", "created"])


def replace_weights(run: Run, step: int, value: float) -> None:
    """Fill a checkpoint's weights with one value, hash and all."""
    folder = run.path / "checkpoints" / f"{step:012d}"
    tensors = {k: torch.full_like(v, value) for k, v in load_file(folder / TENSORS).items()}
    (folder / TENSORS).write_bytes(data := save(tensors))
    header = json.loads((folder / HEADER).read_text())
    header["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / HEADER).write_text(json.dumps(header))


def test_an_unreadable_checkpoint_is_named_and_the_rest_goes_on(run: Run, plan: LLCPlan) -> None:
    weights = run.path / "checkpoints" / f"{512:012d}" / TENSORS
    kept = weights.read_bytes()
    weights.write_bytes(b"")
    (failed,) = estimate_runs([run], plan, SerialEngine())
    assert "step 512" in failed.label and "corrupt" in failed.reason and not failed.trace
    assert rows(run)["step"].tolist() == [0, 1024]
    assert [f.item for f in failures(run)] == [failed.label]
    reported = "\n".join(describe(run.path))
    assert "llc kl on frozen: 2 of 3 checkpoints, 1 missing" in reported
    assert (
        f"failed: {failed.label}: {failed.reason}" in reported
        and "left at the speed so far" in reported
    )
    weights.write_bytes(kept)
    assert estimate_runs([run], plan, SerialEngine()) == []
    assert rows(run)["step"].tolist() == [0, 512, 1024] and failures(run) == []
    reported = "\n".join(describe(run.path))
    assert "llc kl on frozen: 3 of 3 checkpoints" in reported and "failed: llc of" not in reported


def test_nan_weights_make_a_failed_row_and_never_a_number(run: Run, plan: LLCPlan) -> None:
    replace_weights(run, 512, float("nan"))
    outcomes = estimate_runs([run], plan, SerialEngine())
    table = rows(run)
    good = table[table["step"] != 512]
    assert good["step"].tolist() == [0, 1024] and good["llc"].notna().all()
    bad = table[table["step"] == 512]
    assert all(o.reason and not o.trace and "512" in o.label for o in outcomes)
    assert len(outcomes) + len(bad) == 1
    if len(bad):
        assert bad["status"].item() == "failed" and bad["message"].item()
        assert bad["llc"].isna().item()
        assert any("failed: step 512" in line for line in describe(run.path))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; skipped where none may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_in_lines_and_harms_nothing(
    run: Run, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Run(shutil.copytree(run.path, small_disk / "run"))
    fill = small_disk / "fill"
    with fill.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    os.truncate(fill, fill.stat().st_size - 8192)  # room for a lock, not for a unit
    with pytest.raises(SystemExit) as end:
        main(["llc", str(copy.path), "--workers", "0", *OPTIONS])
    err = capsys.readouterr().err
    assert end.value.code == 1 and "Traceback" not in err
    failed = [line for line in err.splitlines() if "failed: llc of run at step" in line]
    assert len(failed) == 3 and all("No space left" in line for line in failed)
    assert ItemStore(copy.path, "llc").keys() == []
    fill.unlink()
    with pytest.raises(SystemExit) as end:
        main(["llc", str(copy.path), "--workers", "0", *OPTIONS])
    assert not end.value.code and len(rows(copy)) == 3


@pytest.mark.slow  # beside the full disk of above
def test_files_that_may_not_grow_are_told_in_lines(run: Run) -> None:
    """The limit on a file's size stands in for a full disk where none can be mounted."""
    done = subprocess.run(
        [*RLSLT, "llc", str(run.path), "--workers", "0", *OPTIONS],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("failed: llc of run at step") == 3
    assert "File too large" in done.stderr
    assert ItemStore(run.path, "llc").keys() == []
    assert estimate_runs([run], LLCPlan(states=("frozen",), n_states=48, chains=2, draws=8,
                         burn_in=4, batch_size=16, sampler="baoab", preconditioner_rank=0),
                         SerialEngine()) == []  # fmt: skip
    assert len(rows(run)) == 3


def scheduler(*options: str) -> None:
    dask_scheduler.main([*options, "--no-dashboard"])


def worker(*options: str) -> None:
    dask_worker.main([*options, "--no-dashboard", "--nthreads", "1", "--no-nanny"])


class Cluster:
    """A real scheduler and a real worker, as processes of their own."""

    def __init__(self, folder: Path) -> None:
        file = folder / "scheduler.json"
        options = "--scheduler-file", str(file)
        self.scheduler = Forked(scheduler, "--port", "0", "--host", "127.0.0.1", *options)
        for _ in range(600):
            if file.exists() and file.read_text().strip():
                break
            time.sleep(0.1)
        self.address = str(json.loads(file.read_text())["address"])
        self.worker = Forked(worker, *options, cwd=folder)

    def close(self) -> None:
        for process in (self.worker, self.scheduler):
            process.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_a_cluster_of_its_own_gives_the_same_numbers_and_its_loss_is_told(
    cluster: Cluster, run: Run, plan: LLCPlan, tmp_path: Path
) -> None:
    here = Run(shutil.copytree(run.path, tmp_path / "here" / "run"))
    assert estimate_runs([here], plan, SerialEngine()) == []
    with open_engine(scheduler=cluster.address) as engine:
        assert estimate_runs([run], plan, engine) == []
        pd.testing.assert_frame_equal(rows(run), rows(here))
        long = [Job(f"sleep {i}", time.sleep, (60,)) for i in range(3)]
        threading.Timer(2, cluster.scheduler.kill).start()
        outcomes = list(engine.run(long, lambda: None))
    assert {o.label for o in outcomes} == {"sleep 0", "sleep 1", "sleep 2"}
    assert all("scheduler was lost" in o.reason and not o.trace for o in outcomes)


def waits_shortly(argv: list[str]) -> None:
    """The command, which waits for a lost scheduler for 5 seconds."""
    jobs._ANSWER_SECONDS = 5
    main(argv)


def test_a_command_whose_scheduler_is_lost_says_so_and_its_work_is_kept(
    cluster: Cluster, run: Run
) -> None:
    # A second or more for each estimate, so that the scheduler is lost in between.
    command = ["llc", str(run.path), *OPTIONS, "--draws", "100"]
    there = Forked(waits_shortly, [*command, "--scheduler", cluster.address])
    parts = run.path / "parts" / "llc"
    finished: list[Path] = []
    while not finished and there.poll() is None:  # however slow the machine is
        finished = sorted(parts.glob("[!.]*/llc.parquet"))
        time.sleep(0.02)
    cluster.scheduler.kill()
    written = {path: path.stat().st_mtime_ns for path in finished}
    done = there.wait()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "scheduler was lost" in done.stderr and "rl-slt" in done.stderr
    with pytest.raises(SystemExit) as end:
        main([*command, "--workers", "0"])
    assert not end.value.code and len(rows(run)) == 3
    assert written and all(path.stat().st_mtime_ns == at for path, at in written.items())


CTRL_C = """
import time
from rl_slt.pipeline.engine.jobs import Job, open_engine
if __name__ == "__main__":
    try:
        with open_engine(1, None) as engine:
            jobs = [Job("a", time.sleep, (1.0,)) for _ in range(60)]
            list(engine.run(jobs, lambda: print("working", flush=True)))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_at_a_terminal_is_heard_by_the_command_alone(tmp_path: Path) -> None:
    """The terminal sends it to all processes: workers would end each in a traceback."""
    (tmp_path / "script.py").write_text(CTRL_C)
    there = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert there.stdout is not None and there.stdout.readline() == "working\n"
    os.killpg(there.pid, signal.SIGINT)
    out, err = there.communicate(timeout=300)
    assert out.splitlines()[-1] == "interrupted" and err == ""


def test_two_commands_at_once_do_not_disturb_each_other(run: Run) -> None:
    command = ["llc", run.path, "--workers", "0", *OPTIONS]
    pair = [rl_slt(*command) for _ in range(2)]
    ends = [(done.stderr, done.returncode) for done in [process.wait() for process in pair]]
    for err, status in ends:
        assert "Traceback" not in err
        assert status == 0 or (status == 2 and "another rl-slt works on 'llc'" in err)
    assert 0 in [status for _, status in ends]
    assert len(rows(run)) == 3


def test_a_lock_that_is_looked_at_is_not_lost(run: Run) -> None:
    def look(stop: threading.Event) -> None:
        while not stop.is_set():
            describe(run.path)

    stop = threading.Event()
    looking = threading.Thread(target=look, args=(stop,))
    looking.start()
    held = 0
    try:
        for _ in range(20):
            with stage_lock(run.path, "llc"):
                time.sleep(0.01)
                held += 1
    finally:
        stop.set()
        looking.join()
    assert held == 20


def test_a_bug_of_ours_keeps_its_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise IndexError("planted")

    monkeypatch.setattr("rl_slt.pipeline.stages.llc.estimate_with", broken)
    with pytest.raises(SystemExit) as end:
        main(["llc", str(run.path), "--workers", "0", *OPTIONS])
    err = capsys.readouterr().err
    assert end.value.code == 1
    assert err.count("Traceback") == 3 and "planted" in err
