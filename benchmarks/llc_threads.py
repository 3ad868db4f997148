"""An estimate next to another busy process: on one thread, and on as many as torch takes.

    python benchmarks/llc_threads.py

On two cores, with and without one other process that computes all the time. Two threads: as torch
is set in a notebook on two cores, with `rl_slt.threads.one_thread` taken away. Median wall seconds
over rounds in turn; the share that a fair scheduler leaves to a process of one thread next to one
other on two cores is all of it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ONE = """
import sys, time, contextlib, warnings
warnings.simplefilter("ignore")
import torch
import rl_slt.threads, rl_slt.estimate
from rl_slt import estimate_llc
from llc_nets import case
torch.set_num_threads(2)
whole = rl_slt.estimate.estimate_with.__wrapped__
net, states, _ = case(sys.argv[1], 512)
def run(draws):
    began = time.perf_counter()
    estimate = rl_slt.estimate.estimate_with if sys.argv[2] == "1" else whole.__wrapped__
    estimate(net, states, rl_slt.estimate.Settings(draws=draws, burn_in=20, nbeta=80.0,
             localization=100.0, sampler=rl_slt.estimate.BAOAB(step_size=1e-3), batch_size=64),
             states_error=False)
    return time.perf_counter() - began
run(8)
print(run(int(sys.argv[3])))
"""


def seconds(network: str, threads: int, draws: int) -> float:
    """Wall seconds of an estimate in a process of its own."""
    command = [sys.executable, "-c", ONE, network, str(threads), str(draws)]
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, cwd=HERE, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=40)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    print("| network | threads | alone, s | next to one busy process, s | times |")
    print("| --- | --- | --- | --- | --- |")
    for network in ("small", "cnn"):
        for threads in (1, 2):
            alone, beside = [], []
            for _ in range(options.rounds):
                alone.append(seconds(network, threads, options.draws))
                busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                try:
                    beside.append(seconds(network, threads, options.draws))
                finally:
                    busy.kill()
                    busy.wait()
            one, two = statistics.median(alone), statistics.median(beside)
            cells = (network, threads, f"{one:.2f}", f"{two:.2f}", f"{two / one:.2f}")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
