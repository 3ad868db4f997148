"""Draws per CPU second, against bare forward and backward passes and against devinterp 1.3.2.

    python benchmarks/llc_speed.py --devinterp-python devinterp/bin/python [--only patch]

SGLD with four chains and batches of 256, on one thread and in CPU seconds of the process. Whole
draws (batches, gradients, noise, records) and bare passes on ready batches are measured in turn,
and devinterp between them; the best of several rounds counts, so that a busy machine disturbs the
ratios little. The bare passes have the estimator's own layout: the small network's chains are
multiplied together (`baddbmm`), those of patches, too, by the traced graph that the estimator uses,
which prepares the frames at each pass, and of the other convolutional network one after the other.
The passes as the plain module makes them stand next to it.

A row "bfloat16" has the same network with its convolutions in bfloat16 (`precision="bfloat16"`),
where the processor multiplies it in tiles. It is compared with devinterp in float32, which knows no
other precision; what it does when its user's own loss function turns on autocast is printed, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from llc_nets import case, kl, machine
from torch import Tensor

from rl_slt import SGLD, PolicyKL
from rl_slt.gradients.precision import in_bfloat16, wants_bfloat16
from rl_slt.losses.base import logits_of
from rl_slt.posterior.build import build_target, generator_for
from rl_slt.samplers.chains import Chains

HERE = Path(__file__).parent
CHAINS = 4
WANTED = {"small": (1.4, 6.0), "cnn": (1.1, 1.5), "patch": (1.1, 1.5)}
PRECISIONS = {"small": ("float32",), "cnn": ("float32", "bfloat16"), "patch": ("float32",)}


def seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ours(name: str, precision: str, draws: int, batch: int) -> Callable[[], None]:
    """Whole draws of four chains: batches, gradients, noise, records."""
    net, states, _ = case(name)
    target = build_target(net, states, PolicyKL(), None, 100.0, None, 0, precision)
    generators = [generator_for(0, c) for c in range(CHAINS)]
    chains = Chains(target, SGLD(step_size=1e-5), generators, batch)
    chains.burn_in(2, lambda: None)
    return lambda: (chains.draw(draws, lambda: None), None)[1]


def bare(name: str, precision: str, draws: int, batch: int) -> Callable[[], None]:
    """Forward and backward on ready batches; nothing else."""
    net, states, logits = case(name)
    x, y = states[:batch], logits[:batch]
    if name == "small":
        return bare_together(net, x, y, draws)
    target = build_target(net, states, PolicyKL(), None, 100.0, None, 0, precision)
    assert target.traced is not None
    gradient, fields = target.traced, {"states": x, "reference_logits": y}

    w, times = target.flat.w_star, CHAINS * draws
    if target.batched:
        w, times = w.expand(CHAINS, -1), draws
        fields = {name: t.expand(CHAINS, *t.shape) for name, t in fields.items()}

    def work() -> None:
        for _ in range(times):
            gradient(w, fields)

    return work


def plain(name: str, precision: str, draws: int, batch: int) -> Callable[[], None]:
    """Forward and backward on ready batches by the module itself, one chain after the other."""
    net, states, logits = case(name)
    x, y = states[:batch], logits[:batch]
    policy = in_bfloat16(net) if precision == "bfloat16" else net

    def work() -> None:
        for _ in range(CHAINS * draws):
            net.zero_grad(set_to_none=True)
            kl(logits_of(policy(x)), y).backward()

    return work


def bare_together(net: torch.nn.Module, x: Tensor, y: Tensor, draws: int) -> Callable[[], None]:
    """The small network's four chains in one product per layer."""
    params = [p.detach().t() if p.ndim == 2 else p.detach()[None] for p in net.parameters()]
    stacked = [p.expand(CHAINS, *p.shape).contiguous().requires_grad_(True) for p in params]
    xs, log_p = x.expand(CHAINS, *x.shape).contiguous(), y.log_softmax(-1)
    p = log_p.exp()

    def work() -> None:
        for _ in range(draws):
            h = xs
            for i in range(0, 6, 2):
                h = torch.baddbmm(stacked[i + 1], h, stacked[i])
                h = h.tanh() if i < 4 else h
            loss = (p * (log_p - h.log_softmax(-1))).sum(-1).mean(-1).sum()
            torch.autograd.grad(loss, stacked)

    return work


def devinterp(python: str, name: str, draws: int, batch: int, autocast: bool = False) -> float:
    command = [python, "llc_devinterp.py", name, "--draws", str(draws), "--batch", str(batch)]
    command += ["--autocast"] * autocast
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["draws_per_second"])


def row(name: str, precision: str, draws: int, rounds: int, batch: int, python: str | None) -> str:
    works = [make(name, precision, draws, batch) for make in (ours, bare, plain)]
    for work in works:
        work()
    taken, others, rounded = [], [], []
    for _ in range(rounds):
        taken.append([seconds(work) for work in works])
        if python:
            others.append(devinterp(python, name, draws, batch))
            if precision == "bfloat16":
                rounded.append(devinterp(python, name, draws, batch, autocast=True))
    best, floor, module = (min(column) for column in zip(*taken, strict=True))
    speed, other = CHAINS * draws / best, max(others, default=float("nan"))
    cost, times = WANTED[name]
    cells = (
        f"{name}, {precision}", f"{speed:.1f}", f"{best / floor:.2f}", f"{cost}",
        f"{best / module:.2f}", f"{other:.1f}", f"{speed / other:.2f}", f"{times}",
        f"{max(rounded):.1f}" if rounded else "", rounds,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devinterp-python", help="Python of an environment with devinterp.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--only", action="append", choices=sorted(WANTED))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_speed.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = f"""# Speed of LLC sampling

By `benchmarks/llc_speed.py`, which says what is measured; {machine()}.
Cost is that of a draw over bare passes; at most, and at least, is what we want.

| network | draws/s | cost | at most | over module | devinterp draws/s | times | at least \
| devinterp, autocast | rounds |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
    for name in args.only or WANTED:
        for precision in PRECISIONS[name]:
            if precision == "bfloat16" and not wants_bfloat16("auto"):
                continue
            line = row(name, precision, args.draws, args.rounds, args.batch, args.devinterp_python)
            print(line, flush=True)
            text += line + "\n"
    args.out.write_text(text)


if __name__ == "__main__":
    main()
