"""One small finished study for all tests that only look at one, or go on from a copy of it."""

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.forked import rl_slt

TINY = Path(__file__).parents[3] / "benchmarks" / "tiny.toml"
STUDY = TINY.read_text()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tiny.toml` and of the finished study `a`: made once for all workers.

    What it printed lies in `said.json`. Nothing may write here.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "said.json").exists():
            folder.mkdir()
            (folder / "tiny.toml").write_text(STUDY)
            done = rl_slt("run", "tiny.toml", "--out", "a", "--workers", "0", cwd=folder).wait()
            assert done.returncode == 0, done.stderr
            said = {"out": done.stdout, "err": done.stderr}
            (folder / "said.json").write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="session")
def study(place: Path) -> Path:
    """The finished study."""
    return place / "a"
