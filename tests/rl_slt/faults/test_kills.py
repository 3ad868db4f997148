"""Commands and workers are really killed, and what they left is completed to the same tables."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "pipeline_faults.py"


def kill(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=3600
    )


def test_two_kills_over_training_llc_and_its_workers(tmp_path: Path) -> None:
    out = tmp_path / "faults.md"
    done = kill("--kills", "2", "--minutes", "15", "--only", "train", "llc", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 finished units were written again" in out.read_text()
    assert "| 2 | " in out.read_text()


@pytest.mark.slow
def test_fifty_kills_over_all_commands() -> None:
    out = SCRIPT.parent / "results" / "faults.md"
    done = kill("--kills", "50", "--minutes", "20", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
