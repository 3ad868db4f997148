"""Importing and using the environments prints nothing."""

import subprocess
import sys

from envs.library import make_games

CODE = """
import warnings
import envs
venv = envs.make_vec(2, seed=1)
venv.reset()
venv.step([7, 8])
warnings.warn("still seen")
"""


def test_nothing_is_printed_and_other_warnings_stay() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) <= 2 and "still seen" in lines[0]


def test_warnings_as_errors() -> None:
    code = CODE.replace('warnings.warn("still seen")', "")
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_the_end_of_a_process_looks_nothing_up() -> None:
    """While a process ends cffi can look up no function, and says so for every object."""
    owner = make_games(1, "coinrun").owner
    if hasattr(owner, "_c_lib"):  # cffi's: procgen-mirror
        assert "libenv_close" in vars(owner._c_lib)
