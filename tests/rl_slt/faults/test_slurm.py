"""The documented SLURM script, on a stand-in for `sbatch` that runs the job script here."""

import importlib.util
import os
import runpy
import stat
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rl_slt.pipeline.disk.layout import Run
from tests.forked import Forked

pytest.importorskip("dask_jobqueue")
SCRIPT = Path(__file__).parents[3] / "docs" / "slurm.py"
SBATCH = """#!/bin/sh
cp "$1" job.sh
nohup sh job.sh > worker.log 2>&1 &
echo $! >> pids
echo "Submitted batch job 1"
"""


@pytest.fixture(scope="module")
def slurm() -> Any:
    spec = importlib.util.spec_from_file_location("slurm", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("walltime", "seconds"), [("08:00:00", 28_440), ("1-00:30:00", 87_840), ("00:10:00", 480)]
)
def test_workers_end_before_the_walltime(slurm: Any, walltime: str, seconds: int) -> None:
    assert slurm.lifetime(walltime) == seconds


def test_too_little_memory_is_refused(slurm: Any) -> None:
    slurm.parse(["--cores", "16", "--memory", "24GB"])
    with pytest.raises(SystemExit, match="--memory 16GB: must be at least 24GB for 16 workers"):
        slurm.parse(["--cores", "16", "--memory", "16GB"])


def test_the_job_asks_for_a_process_on_every_core(slurm: Any) -> None:
    options = ["--cores", "8", "--queue", "long", "--walltime", "01:30:00", "llc", "studies/a"]
    with slurm.make_cluster(slurm.parse(options)) as cluster:
        text = cluster.job_script()
    wanted = ["#SBATCH -p long", "#SBATCH --cpus-per-task=8", "#SBATCH -t 01:30:00"]
    wanted += ["export OMP_NUM_THREADS=1", "--nworkers 8", "--nthreads 1", sys.executable]
    wanted += ["--memory-limit 3.73GiB", "--lifetime 5040s", "--death-timeout 120"]
    for said in wanted:
        assert said in text, text


def on_jobs(words: list[str], path: str) -> None:
    """The script with these words, and the programs in that folder before others."""
    os.environ["PATH"] = os.pathsep.join([path, os.environ["PATH"]])
    sys.argv = [str(SCRIPT), *words]
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_a_command_runs_on_the_jobs(run: Run, tmp_path: Path) -> None:
    for name, text in {"sbatch": SBATCH, "scancel": "#!/bin/sh\nkill $(cat pids)\n"}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    options = "--nodes 1 --cores 1 --memory 2GB llc run --states frozen --n-states 48 --chains 2"
    more = "--draws 8 --burn-in 4 --batch-size 16 --sampler baoab --preconditioner-rank 0"
    words = f"{options} {more}".split()
    done = Forked(on_jobs, words, str(tmp_path / "bin"), cwd=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    assert "#SBATCH" in done.stderr
    table = pd.read_parquet(run.tables / "llc.parquet")
    assert table["step"].tolist() == [0, 512, 1024]
