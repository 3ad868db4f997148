"""What keeping the losses of all states adds to an LLC, paired: CPU seconds with and without.

    python benchmarks/llc_traces.py STUDY [STUDY ...]

For each study the last checkpoint of its first run on 2,048 frozen states at the settings of
`rl-slt llc`, on one thread, after one estimate that loads and traces what is needed. In turns,
each seed once without traces, with as many as a tenth is to buy, and with 50 draws of each chain,
as `rl-slt influence` keeps; then a known answer that is sampled over all data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from llc_cost import item_of
from llc_nets import machine

from rl_slt import estimate_with
from rl_slt.data.policy_data import PolicyData
from rl_slt.known.problems import PROBLEMS
from rl_slt.losses.base import LossFunction
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.stages.llc import load_inputs
from rl_slt.settings import Settings

SEEDS, KEPT = 4, {"none": False, "a tenth": True, "50 draws": 50}


def measure(
    policy: torch.nn.Module, states: PolicyData, settings: Settings, loss: LossFunction
) -> str:
    """A row of the table: CPU seconds without, and what traces add."""
    spent: dict[str, list[float]] = {name: [] for name in KEPT}
    draws = {}
    for seed in range(-1, SEEDS):
        found = {}
        for name, traces in KEPT.items():
            began = time.process_time()
            e = estimate_with(policy, states, settings, loss, seed=max(seed, 0), traces=traces)
            found[name] = time.process_time() - began
            draws[name] = 0 if e.traces is None else len(e.traces.draw)
        for name, seconds in found.items():
            if seed >= 0:
                spent[name].append(seconds)
    plain = np.array(spent["none"])
    cells = [f"{plain.mean():.2f} ± {plain.std(ddof=1) / SEEDS**0.5:.2f}"]
    for name in list(KEPT)[1:]:
        added = 100 * (np.array(spent[name]) / plain - 1)
        cells.append(
            f"{draws[name]} | {added.mean():+.1f} ± {added.std(ddof=1) / SEEDS**0.5:.1f} %"
        )
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", type=Path, nargs="*")
    torch.set_num_threads(1)
    print(machine(), "\n")
    print("| of | CPU s without | draws a chain | a tenth adds | draws a chain | 50 draws add |")
    print("| --- | --- | --- | --- | --- | --- |")
    for study in parser.parse_args().studies:
        item = item_of(study)
        policy, states, loss = load_inputs(item)
        row = measure(policy, states, item.settings, loss)
        print(f"| `{Run(Path(item.run)).training.network}`, 2,048 states | {row} |", flush=True)
    problem = PROBLEMS["softmax-mlp"]()
    settings = Settings(nbeta=problem.nbeta, localization=problem.localization, gauge="none")
    row = measure(problem.policy, problem.data, settings, problem.loss)
    print(f"| `softmax-mlp`, {len(problem.data):,} states, HMC | {row} |", flush=True)


if __name__ == "__main__":
    main()
