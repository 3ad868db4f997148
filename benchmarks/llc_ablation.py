"""What each rewriting of the traced gradient is worth: time without it over time with all of them.

    python benchmarks/llc_ablation.py

One gradient of the loss on a batch, float32, on one thread. All variants of a network are timed in
turn, round after round, so that a busy machine disturbs their ratios little; the median over rounds
of the ratio within a round is given, with its quartiles. A pass that leaves the graph of a network
as it is has no number.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from llc_nets import case, machine
from torch import Tensor, nn

import agents
from rl_slt import PolicyKL
from rl_slt.gradients import traced
from rl_slt.posterior.build import build_target

HERE = Path(__file__).parent
CHAINS = 4
PASSES = ("drop_idle",)
BATCH = {"small MLP": 256, "CNN of nn.Conv2d": 64, "agents' small": 64, "agents' impala": 16}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """A policy and states for it."""
    if name == "small MLP":
        return case("small")[:2]
    if name == "CNN of nn.Conv2d":
        return case("cnn", 256)[:2]
    torch.manual_seed(0)
    states = torch.randint(0, 256, (256, 64, 64, 3), dtype=torch.uint8)
    return agents.build_network(name.split()[-1]), states


def without(*names: str) -> ExitStack:
    """The passes of these names do nothing inside."""
    stack = ExitStack()
    for name in names:
        stack.enter_context(mock.patch.object(traced, name, lambda graph: graph))
    return stack


def gradient(name: str, *left_out: str) -> tuple[Callable[[], None], list[str]]:
    """One gradient with these passes left out, and the steps of its graph."""
    net, states = network(name)
    policy_only = net if name in ("small MLP", "CNN of nn.Conv2d") else Logits(net)
    with without(*left_out):
        target = build_target(policy_only, states, PolicyKL(), None, 100.0, None, 0, "float32")
        graph = target.traced
        assert graph is not None
        rows = torch.arange(BATCH[name])
        fields = target.samples.take(rows).tensors()
        w = target.flat.w_star
        if target.batched:
            w = w.expand(CHAINS, -1).clone()
            fields = {k: v.expand(CHAINS, *v.shape).clone() for k, v in fields.items()}
        graph(w, fields)
    module = list(graph._graphs.values())[-1]
    return lambda: (graph(w, fields), None)[1], steps(module)


class Logits(nn.Module):
    """The policy of an actor-critic network."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, A]`."""
        logits: Tensor = self.net(x)[0]
        return logits


def steps(forward: Any) -> list[str]:
    """The operations of a traced graph, in order, with the shapes of what they give."""
    owner = getattr(forward, "__self__", None) or forward.__wrapped__.__self__
    return [
        f"{node.target} {getattr(node.meta.get('val'), 'shape', '')}"
        for node in owner.graph.nodes
        if node.op == "call_function"
    ]


def plain(name: str) -> Callable[[], None]:
    """The same gradients by the module itself, chain after chain."""
    net, states = network(name)
    policy = net if name in ("small MLP", "CNN of nn.Conv2d") else Logits(net)
    target = build_target(policy, states, PolicyKL(), None, 100.0, None, 0, "float32")
    batch, out = (
        target.samples.take(torch.arange(BATCH[name])),
        torch.empty_like(target.flat.w_star),
    )
    chains = CHAINS if target.batched else 1

    def work() -> None:
        for _ in range(chains):
            target.flat.value_and_grad(target.loss, batch, target.flat.w_star, out)

    return work


def timed(work: Callable[[], None], repeat: int) -> float:
    began = time.process_time()
    for _ in range(repeat):
        work()
    return time.process_time() - began


def rows(name: str, rounds: int) -> Iterator[str]:
    full, all_steps = gradient(name)
    works: dict[str, Callable[[], None]] = {"no tracing at all": plain(name)}
    for left_out in PASSES:
        work, own_steps = gradient(name, left_out)
        if own_steps != all_steps:
            works[left_out] = work
        else:
            yield f"| {name} | {left_out} | leaves this graph as it is | |"
    works["every pass at once"] = gradient(name, *PASSES)[0]
    repeat = max(1, round(0.1 / max(timed(full, 3) / 3, 1e-5)))
    ratios: dict[str, list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        base = timed(full, repeat)
        for key, work in works.items():
            ratios[key].append(timed(work, repeat) / base)
    for key, found in ratios.items():
        low, middle, high = statistics.quantiles(found, n=4)
        yield f"| {name} | {key} | {middle:.2f} | {low:.2f} to {high:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=BATCH, action="append")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_ablation.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = f"""# What each rewriting of the traced gradient is worth

By `benchmarks/llc_ablation.py`, which says what is measured; {machine()}.
Time of a gradient without the pass over that with all of them, medians over {args.rounds} rounds.

| network | left out | times as long | quartiles |
| --- | --- | --- | --- |
"""
    for name in args.only or BATCH:
        for line in rows(name, args.rounds):
            print(line, flush=True)
            text += line + "\n"
    args.out.write_text(text)


if __name__ == "__main__":
    main()
