"""What bfloat16 convolutions change in the LLC of trained policies, and how much faster they are.

    rl-slt train runs/a --coin end --steps 400000
    python benchmarks/llc_precision.py runs/a

At the first, middle and last checkpoint of a run, on its frozen states and with the settings of
`rl-slt llc`, one thread:

rounding: `n beta` times the mean KL, in bfloat16, of the checkpoint from itself.
loss: the mean change of `n beta (L(w) - L(w*))` at weights drawn by float32 chains, on the same
    states: what the estimate would change if the chains were the same.
LLC: means of estimates over seeds, and the mean difference of those of one seed, which have the
    same batches and noise, with its standard error.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from llc_nets import machine

from rl_slt import PolicyData, estimate_with
from rl_slt.estimate import prepare_chains
from rl_slt.losses.kl import PolicyKL
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates
from rl_slt.posterior.build import build_target

HERE = Path(__file__).parent
KINDS = ("float32", "bfloat16")


def loss_change(
    policy: torch.nn.Module, states: PolicyData | torch.Tensor, plan: LLCPlan
) -> tuple[float, float, float]:
    """Rounding, and the change of the loss at weights of float32 chains with its error."""
    settings = plan.settings()
    exact, rounded = (
        build_target(policy, states, PolicyKL(), None, plan.localization, None, 0, kind)
        for kind in KINDS
    )
    assert rounded.rounded
    run = prepare_chains(exact, settings, 0)
    run.burn_in(plan.burn_in, lambda: None)
    run.draw(plan.draws, lambda: None)
    changes = []
    for delta in torch.cat(run.snapshots[::4]):
        means = []
        for target in (exact, rounded):
            module = target.flat.load(target.flat.w_star + delta)
            rows = [target.losses(module, part) for part in target.data.chunks(512)]
            means.append(float((torch.cat(rows) - target.center_losses).double().mean()))
        changes.append(exact.nbeta * (means[1] - means[0]))
    error = float(np.std(changes, ddof=1) / len(changes) ** 0.5)
    return exact.nbeta * float(rounded.center_losses.mean()), float(np.mean(changes)), error


def row(unit: Estimate, seeds: int) -> str:
    policy, states, loss = load_inputs(unit)
    rounding, change, error = loss_change(policy, states, unit.plan)
    llc, spent, stderr = {}, {}, []
    for kind in KINDS:
        settings = unit.plan.replace(precision=kind).settings()
        began, found = time.process_time(), []
        for seed in range(seeds):
            found.append(estimate_with(policy, states, settings, loss, seed=seed))
        spent[kind] = (time.process_time() - began) / seeds
        llc[kind] = np.array([e.llc for e in found])
        stderr += [e.stderr for e in found]
    gaps = llc["bfloat16"] - llc["float32"]
    spread = gaps.std(ddof=1) / seeds**0.5
    cells = (
        unit.step, f"{rounding:.2g}", f"{change:+.2g} ± {error:.1g}",
        *(f"{llc[kind].mean():.2f}" for kind in KINDS), f"{gaps.mean():+.2g} ± {spread:.1g}",
        f"{np.mean(stderr):.2f}", *(f"{spent[kind]:.1f}" for kind in KINDS),
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_precision.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    units = plan_estimates(Run(args.run), LLCPlan(states=("frozen",)), ("end", "ground"))
    text = f"""# LLC with convolutions in bfloat16

By `benchmarks/llc_precision.py`, which says what is measured; {args.seeds} seeds, {machine()}.

| step | rounding | loss | LLC, float32 | LLC, bfloat16 | difference | standard error of one \
| CPU s, float32 | CPU s, bfloat16 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
    for place in (0, len(units) // 2, len(units) - 1):
        line = row(units[place], args.seeds)
        print(line, flush=True)
        text += line + "\n"
        args.out.write_text(text)


if __name__ == "__main__":
    main()
