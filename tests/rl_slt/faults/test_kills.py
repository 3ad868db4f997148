"""Commands and workers are really killed, and what they left is completed to the same tables."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "pipeline_faults.py"


@pytest.mark.slow
def test_fifty_kills_over_all_commands() -> None:
    out = SCRIPT.parent / "results" / "faults.md"
    command = [sys.executable, str(SCRIPT), "--kills", "50", "--minutes", "20", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
