"""What torch.compile would cost and give next to the traced graph that chains use.

    python benchmarks/llc_compile.py --out benchmarks/results/llc_compile.md

Mean KL of a policy to itself on a batch of 64 and its gradient for four chains at once, by
`TracedGradient` (`rl_slt/gradients/traced.py`), by plain `torch.func`, and by `torch.compile` of
the same function. CPU seconds until the first result, compilation by child processes included, and
CPU milliseconds of a call after, medians over rounds that take turns; one thread.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from llc_nets import case
from torch import Tensor
from torch.func import grad_and_value, vmap

from rl_slt import PolicyData, PolicyKL
from rl_slt.gradients.flat import FlatPolicy, match_parameters
from rl_slt.gradients.traced import TracedGradient

CHAINS, BATCH, ROUNDS, CALLS = 4, 64, 5, 5


def cpu_seconds() -> float:
    """Of this process and of the children that have ended (compilers)."""
    return sum(
        resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def networks() -> dict[str, tuple[torch.nn.Module, Tensor]]:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(16, 64), torch.nn.Tanh(), torch.nn.Linear(64, 8))
    return {
        "MLP": (torch.nn.Sequential(*layers), torch.randn(BATCH, 16)),
        "CNN of nn.Conv2d": case("cnn", BATCH)[:2],
    }


def ways(policy: torch.nn.Module, states: Tensor) -> dict[str, Callable[[], object]]:
    """The same losses and gradients of four chains, three times over."""
    loss = PolicyKL()
    data = loss.prepare(policy, PolicyData(states), torch.Generator().manual_seed(0))
    flat = FlatPolicy(policy, match_parameters(policy, None))
    weights = flat.w_star + 0.01 * torch.randn(CHAINS, len(flat.w_star))

    def one(w: Tensor) -> Tensor:
        return loss.weighted(flat.as_function(w, flat.fixed), data).mean()

    plain = vmap(grad_and_value(one))
    compiled = torch.compile(plain)
    traced = TracedGradient(flat, loss)
    return {
        "plain torch.func": lambda: plain(weights),
        "traced": lambda: traced(weights, data.tensors(), shared=True),
        "torch.compile": lambda: compiled(weights),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    lines = [
        "| network | way | CPU s to the first result | ms a call | quartiles |",
        "| --- " * 5 + "|",
    ]
    for name, (policy, states) in networks().items():
        calls = ways(policy, states)
        first: dict[str, float] = {}
        rounds: dict[str, list[float]] = {way: [] for way in calls}
        for way, call in calls.items():
            began = cpu_seconds()
            call()
            first[way] = cpu_seconds() - began
            print(f"{name}: {way}: {first[way]:.2f} CPU s to the first result", flush=True)
        for _ in range(ROUNDS):
            for way, call in calls.items():
                began = time.process_time()
                for _ in range(CALLS):
                    call()
                rounds[way].append(1e3 * (time.process_time() - began) / CALLS)
        for way in calls:
            low, middle, high = statistics.quantiles(rounds[way], n=4)
            lines.append(
                f"| {name} | {way} | {first[way]:.2f} | {middle:.2f} | {low:.2f} to {high:.2f} |"
            )
    print("\n".join(lines))
    if out is not None:
        out.write_text("# torch.compile next to the traced graph\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
