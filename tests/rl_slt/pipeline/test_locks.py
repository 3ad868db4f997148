"""One writer for a stage of a run, also across processes; a killed holder frees it."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rl_slt.errors import InputError
from rl_slt.pipeline.disk.locks import lock_holder, stage_lock, wait_for_lock

HOLD = """
import sys, time
from pathlib import Path
from rl_slt.pipeline.disk.locks import stage_lock
with stage_lock(Path(sys.argv[1]), "llc"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_its_death_frees_the_stage(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {other.pid}"), stage_lock(tmp_path, "llc"):
            pass
        assert str(other.pid) in (lock_holder(tmp_path, "llc") or "")
        with stage_lock(tmp_path, "probe"):  # another stage is free
            pass
        other.send_signal(signal.SIGKILL)
    assert lock_holder(tmp_path, "llc") is None
    with stage_lock(tmp_path, "llc"):
        pass


def test_analyses_of_a_run_take_turns(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with wait_for_lock(tmp_path, "analyse"):
            order.append("second")

    with wait_for_lock(tmp_path, "analyse"):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.3)
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]
