"""Draws per second of many chains on a device, against one chain there.

    python benchmarks/llc_device.py --device cuda

SGLD with batches of 256, wall seconds; whole draws (batches, gradients, noise, records). On a GPU
all chains are one graph of tensor operations, whatever the network; on a CPU those of the
convolutional one run one after the other. The median of several rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from llc_nets import case, machine

from rl_slt import SGLD, PolicyKL
from rl_slt.posterior.build import build_target, generator_for
from rl_slt.samplers.chains import Chains

CHAINS = (1, 4, 16, 64)


def draws_per_second(name: str, device: str, chains: int, draws: int, rounds: int) -> float:
    """All chains together; the first round traces, and does not count."""
    net, states, _ = case(name)
    target = build_target(net.to(device), states, PolicyKL(), None, 100.0, None, 0)
    generators = [generator_for(0, c, device) for c in range(chains)]
    run = Chains(target, SGLD(step_size=1e-5), generators, 256)
    run.burn_in(2, lambda: None)
    speeds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        run.draw(draws, lambda: None)  # its records come back to the CPU, so all is done
        speeds.append(chains * draws / (time.perf_counter() - began))
        run.snapshots.clear()
    return statistics.median(speeds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="Also write the table here.")
    args = parser.parse_args()
    on_gpu = args.device != "cpu"
    place = torch.cuda.get_device_name(args.device) if on_gpu else machine()
    text = f"""# Chains on a device

By `benchmarks/llc_device.py`, which says what is measured; {place}.

| network | chains | draws/s | times one chain |
| --- | --- | --- | --- |
"""
    print(text, end="")
    for name in ("small", "cnn"):
        one = 0.0
        for chains in CHAINS:
            speed = draws_per_second(name, args.device, chains, args.draws, args.rounds)
            one = one or speed
            line = f"| {name} | {chains} | {speed:,.0f} | {speed / one:.1f} |\n"
            print(line, end="", flush=True)
            text += line
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
