"""Any rl-slt command on SLURM: `python slurm.py [options] llc studies/alpha`.

Asks SLURM for jobs of Dask workers, one process for each core, and runs the command here, on the
login node or in a small job of its own, with `--scheduler` pointing at them. The package must be
installed in the same place on all nodes, and the study must lie on a file system they share.
"""

import argparse
import math
import subprocess
import sys
from typing import Any

from dask.utils import parse_bytes
from dask_jobqueue import SLURMCluster

WORKER = "1.5GB"  # the most that one was seen to take is 1.34 GB


def make_cluster(options: argparse.Namespace) -> Any:
    """A scheduler on this node whose workers are SLURM jobs; none is asked for yet."""
    return SLURMCluster(
        cores=options.cores,
        processes=options.cores,  # one process for each core: estimates use one torch thread
        memory=options.memory,
        walltime=options.walltime,
        queue=options.queue,
        account=options.account,
        interface=options.interface,
        python=sys.executable,
        log_directory="slurm-logs",
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        # A worker ends in time to hand its results on, and with the scheduler that it lost.
        worker_extra_args=[
            *("--lifetime", f"{lifetime(options.walltime)}s", "--lifetime-stagger", "60s"),
            *("--death-timeout", "120"),
        ],
        scheduler_options={"dashboard_address": ":0"},
    )


def lifetime(walltime: str) -> int:
    """Seconds that a worker lives, but for a minute, of a walltime `[D-]HH:MM:SS`.

    With that minute it ends at least 5 minutes earlier, or within nine tenths of ten minutes.
    """
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return max(total - 360, total * 4 // 5)


def memory_per_worker(options: argparse.Namespace) -> None:
    """Refuse less memory than a worker needs: Dask restarts one that exceeds its share."""
    share = parse_bytes(options.memory) / options.cores
    if share < parse_bytes(WORKER):
        least = math.ceil(options.cores * parse_bytes(WORKER) / 1e9)
        raise SystemExit(
            f"--memory {options.memory}: must be at least {least}GB for {options.cores} workers of "
            f"{WORKER} each; or take fewer --cores"
        )


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of this script, then the command of rl-slt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4, help="jobs of one node each")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--memory", default="32GB", help="of a node, 1.5GB for each core or more")
    parser.add_argument("--walltime", default="08:00:00")
    parser.add_argument("--queue", help="SLURM partition")
    parser.add_argument("--account")
    parser.add_argument("--interface", help="network that the nodes share, as ib0")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="llc studies/alpha, ...")
    options = parser.parse_args(argv)
    memory_per_worker(options)
    return options


def main(argv: list[str]) -> int:
    """Run the command on the workers; its exit status."""
    options = parse(argv)
    with make_cluster(options) as cluster:
        print(cluster.job_script(), file=sys.stderr)
        cluster.scale(jobs=options.nodes)
        program = [sys.executable, "-P", "-m", "rl_slt"]  # -P: nothing here may shadow it
        return subprocess.call(
            [*program, *options.command, "--scheduler", cluster.scheduler_address]
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
