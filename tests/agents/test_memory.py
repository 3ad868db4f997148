"""Freed memory stays with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys, ctypes
from agents.memory import keep_freed_memory
import numpy as np
if sys.argv[1] == "kept" and not keep_freed_memory():
    print("none"); sys.exit()
for _ in range(4): np.ones(2_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): np.ones(3_500_000), np.ones(3_900_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kind: str) -> str:
    command = [sys.executable, "-c", CODE, kind]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout


def test_freed_memory_is_reused() -> None:
    kept = faults("kept")
    if kept.strip() == "none":
        pytest.skip("not glibc")
    assert int(kept) < int(faults("default")) / 2
