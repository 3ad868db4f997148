"""The page of findings holds the numbers that its kept tables give."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_numbers_of_the_findings_are_those_of_the_kept_tables() -> None:
    command = [sys.executable, str(ROOT / "studies" / "findings.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_share_of_few_levels_is_certain() -> None:
    """Eight agents without a coin in a hundred levels each do not show that none takes any."""
    assert "[0.00, 0.00]" not in (ROOT / "docs" / "findings.md").read_text()
