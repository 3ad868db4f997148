"""Any rl-slt command on SLURM: `python slurm.py [options] llc studies/alpha`.

Asks SLURM for jobs of Dask workers, one process for each core, and runs the command here, on the
login node or in a small job of its own, with `--scheduler` pointing at them. The package must be
installed in the same place on all nodes, and the study must lie on a file system they share.
"""

import argparse
import subprocess
import sys
from typing import Any

from dask_jobqueue import SLURMCluster


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
        scheduler_options={"dashboard_address": ":0"},
    )


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of this script, then the command of rl-slt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4, help="jobs of one node each")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--memory", default="32GB", help="of a node")
    parser.add_argument("--walltime", default="08:00:00")
    parser.add_argument("--queue", help="SLURM partition")
    parser.add_argument("--account")
    parser.add_argument("--interface", help="network that the nodes share, as ib0")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="llc studies/alpha, ...")
    return parser.parse_args(argv)


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
