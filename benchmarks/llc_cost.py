"""CPU seconds of one LLC of a policy, by part, with the settings of `rl-slt llc`.

    python benchmarks/llc_cost.py STUDY [STUDY ...]

For each study the last checkpoint of its first run, on frozen states, on one thread. The first
estimate of a process, which also loads and traces what is needed, and the next one, of the same
network with another seed. Parts are functions of the estimator, each without those inside it.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from llc_nets import machine

import rl_slt.estimate as estimate
from rl_slt.gradients.traced import TracedGradient
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates
from rl_slt.posterior import build
from rl_slt.posterior.target import Target
from rl_slt.samplers import chains
from rl_slt.samplers.baoab import BAOAB

PARTS: list[tuple[Any, str, str]] = [
    (TracedGradient, "_trace", "tracing"), (Target, "_loss_grad", "sample gradients"),
    (build, "in_gauge", "gauge"), (build, "trace_of", "trace of the curvature"),
    (estimate, "spectrum_of", "spectrum"), (estimate, "states_stderr", "error over states"),
    (chains, "precondition", "preconditioner"), (chains, "top_curvature", "top curvature"),
    (Target, "evaluate", "preconditioning"), (BAOAB, "step", "noise and steps"),
]  # fmt: skip


def watched(seconds: dict[str, float]) -> None:
    """Have the parts add their own CPU seconds to these."""
    inside: list[float] = []

    def wrap(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.process_time() - began
                seconds[part] += whole - inside.pop()
                if inside:
                    inside[-1] += whole

        return call

    for owner, name, part in PARTS:
        setattr(owner, name, wrap(getattr(owner, name), part))


def item_of(study: Path) -> Estimate:
    """The estimate at the last checkpoint of a study's first run."""
    runs = [Run(path) for path in sorted((study / "runs").iterdir())]
    coins = sorted({run.training.coin for run in runs})
    return plan_estimates(runs[0], LLCPlan(states=("frozen",)), coins)[-1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", type=Path, nargs="+")
    torch.set_num_threads(1)
    seconds: dict[str, float] = defaultdict(float)
    watched(seconds)
    columns: dict[str, dict[str, float | str]] = {}
    for study in parser.parse_args().studies:
        item = item_of(study)
        policy, states, loss = load_inputs(item)
        for seed, which in enumerate(("first", "next")):
            seconds.clear()
            began = time.process_time()
            e = estimate.estimate_with(policy, states, item.settings, loss, seed=seed)
            whole = time.process_time() - began
            found: dict[str, float | str] = {part: seconds[part] for *_, part in PARTS}
            found["else"] = whole - sum(seconds.values())
            found |= {"all": whole, "LLC": f"{e.llc:.2f} ± {e.stderr:.2f}", "ESS": f"{e.ess:.0f}"}
            columns[f"{Run(Path(item.run)).training.network}, {which}"] = found
    print(machine())
    print(pd.DataFrame(columns).map(lambda x: x if isinstance(x, str) else f"{x:.2f}").to_string())


if __name__ == "__main__":
    main()
