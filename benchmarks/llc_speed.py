"""Draws per CPU second, against bare forward and backward passes and against devinterp 1.3.2.

    python benchmarks/llc_speed.py --devinterp-python /path/to/its/venv/bin/python

All on one thread and in CPU seconds of the process; each pair is measured in turn, the best of
several rounds counts, so that a busy machine disturbs the ratios little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from llc_nets import case, kl

from rl_slt import SGLD, PolicyKL
from rl_slt.build import build_target, generator_for
from rl_slt.chains import Chains

HERE = Path(__file__).parent


def seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ours(name: str, draws: int, batch: int) -> Callable[[], None]:
    """Whole draws of four chains: batches, gradients, noise, records."""
    net, states, _ = case(name)
    target = build_target(net, states, PolicyKL(), None, 100.0, None, 0)
    generators = [generator_for(0, c) for c in range(4)]
    chains = Chains(target, SGLD(step_size=1e-5), generators, batch)
    chains.burn_in(2, lambda t: None)
    return lambda: (chains.draw(draws, lambda t: None), None)[1]


def bare(name: str, draws: int, batch: int) -> Callable[[], None]:
    """Forward and backward on ready batches, four times a draw; nothing else."""
    net, states, logits = case(name)
    x, y = states[:batch], logits[:batch]

    def work() -> None:
        for _ in range(4 * draws):
            net.zero_grad(set_to_none=True)
            kl(net(x), y).backward()

    return work


def devinterp(python: str, name: str, draws: int, batch: int) -> float:
    command = [python, "llc_devinterp.py", name, "--draws", str(draws), "--batch", str(batch)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["draws_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devinterp-python", help="Python of an environment with devinterp.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | draws/s | cost over bare passes | draws/s of devinterp | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for name, draws in (("small", 100), ("cnn", 5)):
        own, base = ours(name, draws, args.batch), bare(name, draws, args.batch)
        own(), base()
        pairs = [(seconds(own), seconds(base)) for _ in range(args.rounds)]
        best, floor = min(a for a, _ in pairs), min(b for _, b in pairs)
        speed, other = 4 * draws / best, float("nan")
        if args.devinterp_python:
            runs = range(args.rounds)
            other = max(devinterp(args.devinterp_python, name, draws, args.batch) for _ in runs)
        row = (name, f"{speed:.1f}", f"{best / floor:.2f}", f"{other:.1f}", f"{speed / other:.2f}")
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
