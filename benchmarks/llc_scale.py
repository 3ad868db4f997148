"""Memory with very many states, and cost against chains, draws and checkpoints.

    python benchmarks/llc_scale.py

Frames lie in a memory-mapped file of random bytes (200 thousand take 2.5 GB there), so the
operating system may drop what it read; what counts is the process's own memory. Cost is in sample
gradients and CPU seconds at one state set, each doubled in turn: linear is a factor of 2. The
checkpoints are those of a short training, whose state set is made once and not counted.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from llc_nets import Conv, case, machine
from tiny_results import PROGRAM

from agents import Run
from rl_slt import BAOAB, estimate_llc
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import make, plan_estimates

HERE = Path(__file__).parent


class Watch(threading.Thread):
    """The largest own memory of this process while it runs, GiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own, self.done = 0.0, threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self.done.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            (own,) = (line.split()[1] for line in lines if line.startswith("RssAnon"))
            self.own = max(self.own, int(own) / 2**20)


def frames(n: int, folder: Path) -> torch.Tensor:
    path, generator = folder / "frames", np.random.default_rng(0)
    with path.open("wb") as file:
        for size in [4096] * (n // 4096) + [n % 4096]:
            file.write(generator.bytes(size * 64 * 64 * 3))
    return torch.from_numpy(np.memmap(path, np.uint8, "r+", shape=(n, 64, 64, 3)))


def memory(n: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        states, watch = frames(n, Path(folder)), Watch()
        watch.start()
        began = time.process_time()
        settings = {"localization": 100.0, "draws": 40, "burn_in": 20, "batch_size": 64}
        estimate_llc(Conv(), states, states_error=False, **settings)  # type: ignore[arg-type]
        spent = time.process_time() - began
        watch.done.set()
        watch.join()
    return f"{n:,} frames: {watch.own:.2f} GiB of own memory at most, {spent:.0f} CPU s."


def cost(chains: int, draws: int) -> float:
    net, states, _ = case("small")
    settings = {"chains": chains, "draws": draws, "burn_in": 20, "batch_size": 64}
    began = time.process_time()
    estimate_llc(
        net,
        states,
        sampler=BAOAB(),
        localization=100.0,
        states_error=False,
        **settings,  # type: ignore[arg-type]
    )
    return time.process_time() - began


def checkpoints(counts: tuple[int, ...]) -> list[float]:
    """CPU seconds of the LLC of that many checkpoints of one training."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*PROGRAM, "train", f"{folder}/run", "--steps", "32768", "--preset", "demo",
                   "--set", f"checkpoints=linear:{max(counts)}"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        run = Run(Path(folder) / "run")
        units = plan_estimates(run, LLCPlan(states=("frozen",)), [run.training.coin])
        make(units[0])  # collects the states
        spent = []
        for count in counts:
            shutil.rmtree(run.path / "parts" / "llc")
            began = time.process_time()
            for unit in units[:count]:
                make(unit)
            spent.append(time.process_time() - began)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=200_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_scale.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = memory(args.states)
    cost(4, 20)
    base, chains, draws = cost(4, args.draws), cost(8, args.draws), cost(4, 2 * args.draws)
    four, eight = checkpoints((4, 8))
    text = f"""# Memory and cost

By `benchmarks/llc_scale.py`, which says what is measured; {machine()}.

{found}

4 chains of {args.draws} draws on a small network: {base:.1f} CPU s; with 8 chains
{chains / base:.2f} times, with twice the draws {draws / base:.2f} times as much.

4 checkpoints of a short training, small CNN, default settings: {four:.1f} CPU s; 8 checkpoints
{eight / four:.2f} times as much.
"""
    args.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
