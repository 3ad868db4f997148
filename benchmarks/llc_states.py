"""Whether the error over states that an LLC tells is its spread over frozen state sets.

    rl-slt run --preset demo --out demo
    python benchmarks/llc_states.py demo/runs/end-s0 demo/runs/behind-s0

At the last checkpoint of each run, in the balanced gauge, on distinct actions, at relative
temperature 50, over state sets of 20 seeds:

effective dimension: half of it, from the policy's Fisher matrix on the set, without any Monte Carlo
    error (gradients of the score rows with two draws of random signs a state, each hashed to 1,024
    numbers). Its error over states has a closed form,
    `I_i = 1/2 rho z_i' (H + rho)^-2 z_i - slope h_i / h`; it is summed over states as if they were
    independent, over episodes, or over the environments that played all parts of a set. "Shared
    levels" are sets whose parts (behaviors x placements) all play the same levels, "own levels" the
    sets as they are.
chains: the estimate itself, with its errors of chains and of states.

"Covered" counts the sets whose value is within 1.96 errors of the mean of all.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from llc_nets import machine
from numpy.typing import NDArray
from torch import Tensor

import envs
from rl_slt import PolicyData, estimate_with
from rl_slt.data.clusters import cluster_stderr
from rl_slt.losses.kl import PolicyKL
from rl_slt.pipeline import states as state_sets
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import Estimate, load_inputs, plan_estimates
from rl_slt.posterior.build import build_target
from rl_slt.posterior.curvature import count_rows, random_signs, row_gradients

K = 50.0
SIGNS, HASHED = 2, 1024


class Spread(NamedTuple):
    """Values over sets, with the standard errors that each way of counting reports."""

    values: list[float]
    errors: dict[str, list[float]]

    def rows(self, name: str) -> list[str]:
        """Rows of a table: mean, spread, and for each way of counting its error and coverage."""
        values = np.array(self.values)
        sd = values.std(ddof=1)
        spread = f"{sd:.3f} ± {sd / (2 * len(values) - 2) ** 0.5:.3f}"
        out = []
        for way, told in self.errors.items():
            errors = np.array(told)
            covered = int((np.abs(values - values.mean()) <= 1.96 * errors).sum())
            cells = (
                name, way, f"{values.mean():.2f}", spread,
                f"{np.sqrt(np.mean(errors**2)):.3f} ± {errors.std(ddof=1):.3f}",
                f"{covered} of {len(values)}",
            )  # fmt: skip
            out.append("| " + " | ".join(cells) + " |")
        return out


def estimates_of(runs: Sequence[Run], seed: int, states: int, draws: int) -> list[Estimate]:
    """The work item of each run's last checkpoint on the frozen set of that seed."""
    plan = LLCPlan(
        losses=("kl",), states=("frozen",), n_states=states, draws=draws, seed=seed,
        nbeta=f"relative:{K:g}", localization=300.0, gauge="balanced", actions="distinct",
    )  # fmt: skip
    placements = sorted({run.training.coin for run in runs})
    return [plan_estimates(run, plan, placements)[-1] for run in runs]


def sets_of(spec: state_sets.StateSetSpec, cache: Path) -> dict[str, tuple[PolicyData, Tensor]]:
    """Both kinds of sets, each with the environment that every state was visited in."""
    shared = [
        state_sets._visit(spec, place, act, -(-spec.n // 6), spec.seed)
        for place, act in itertools.product(spec.placements, envs.behaviors(spec.seed))
    ]
    frames, episodes = (np.concatenate(arrays) for arrays in zip(*shared, strict=True))
    part = np.arange(len(shared)).repeat(len(shared[0][0]))
    number = np.unique(np.column_stack([part, episodes]), axis=0, return_inverse=True)[1]
    data = PolicyData(torch.from_numpy(frames), episode=torch.from_numpy(number.reshape(-1)))
    own = state_sets.collect(spec, None, cache)
    return {
        "shared levels": (data, torch.from_numpy(episodes[:, 0])),
        "own levels": (own, torch.arange(len(own))),
    }


def hashed_gradients(item: Estimate, data: PolicyData) -> Tensor:
    """Gradients `[N, 2, 1024]` whose products, over signs and states, are the Fisher matrix."""
    policy = load_inputs(item)[0]
    settings = item.settings
    target = build_target(
        policy, data, PolicyKL(), 1.0, 300.0, None, 0, "float32", settings.gauge,
        settings.distinct_actions,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(HASHED, (target.dim,), generator=generator)
    sign = random_signs(torch.empty(target.dim), generator)
    width = count_rows(target)
    assert width is not None
    generator.manual_seed(int(data.states.sum()))  # other signs for other states
    index = torch.arange(target.n).repeat_interleave(SIGNS)
    signs = random_signs(torch.empty(len(index), width), generator) / SIGNS**0.5
    hashed = [
        torch.zeros(len(part), HASHED).index_add_(1, place, part * sign)
        for part in row_gradients(target, index, signs)
    ]
    return torch.cat(hashed).view(target.n, SIGNS, HASHED).double()


def half_effective_dimension(z: Tensor) -> tuple[float, Tensor]:
    """`1/2 sum h / (h + rho)` at `rho = tr(H) / (2 K)`, and each state's influence on it `[N]`."""
    h, basis = torch.linalg.eigh(torch.einsum("nri,nrj->ij", z, z) / len(z))
    h = h.clamp(min=0.0)
    rho = float(h.sum()) / (2 * K)
    influence = ((z @ basis).square().sum(1) * (rho / (2 * (h + rho).square()))).sum(1)
    share = z.square().sum((1, 2))
    return float((h / (h + rho)).sum()) / 2, influence - influence.mean() * share / share.mean()


def effective_dimensions(runs: Sequence[Run], sets: int, states: int) -> None:
    """Print the spread of half the effective dimension, and what agents have in common."""
    spreads: dict[str, Spread] = {}
    values: dict[str, NDArray[np.float64]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(sets):
            items = estimates_of(runs, seed, states, 8)
            spec = items[0].states
            assert isinstance(spec, state_sets.StateSetSpec)
            for kind, (data, environment) in sets_of(spec, Path(cache)).items():
                for run, item in zip(runs, items, strict=True):
                    value, influence = half_effective_dimension(hashed_gradients(item, data))
                    assert data.episode is not None
                    ways = {"states": torch.arange(len(data)), "episodes": data.episode}
                    if kind == "shared levels":
                        ways["environments"] = environment
                    spread = spreads.setdefault(f"{run.arm}, {kind}", Spread([], {}))
                    spread.values.append(value)
                    for way, clusters in ways.items():
                        spread.errors.setdefault(way, []).append(
                            cluster_stderr(influence, clusters)
                        )
            print(f"set {seed}: {time.process_time():.0f} CPU s", file=sys.stderr, flush=True)
    print("## Half the effective dimension\n")
    print("| policy, sets | counted | mean | sd over sets | error reported | covered |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, spread in spreads.items():
        print("\n".join(spread.rows(name)))
        values[name] = np.array(spread.values)
    for kind in ("shared levels", "own levels") if len(runs) > 1 else ():
        one, two = (values[f"{run.arm}, {kind}"] for run in runs[:2])
        apart = np.hypot(one.std(ddof=1), two.std(ddof=1))
        shared = np.corrcoef(one, two)[0, 1]
        print(f"\n{kind}: the two policies correlate by {shared:.2f} over sets; "
              f"the sd of their difference is {(one - two).std(ddof=1):.3f}, and would be "
              f"{apart:.3f} on sets of their own.")  # fmt: skip


def chain_spread(paths: Sequence[Path], which: int, sets: int, states: int, draws: int) -> Spread:
    """The estimates of one run, on states that all runs' placements make up."""
    torch.set_num_threads(1)
    runs = [Run(path) for path in paths]
    spread = Spread([], {"chains": [], "states": [], "total": []})
    for seed in range(sets):
        item = estimates_of(runs, seed, states, draws)[which]
        policy, data, loss = load_inputs(item)
        e = estimate_with(policy, data, item.settings, loss, seed=seed)
        assert e.stderr_states is not None
        spread.values.append(e.llc)
        spread.errors["chains"].append(e.stderr)
        spread.errors["states"].append(e.stderr_states)
        spread.errors["total"].append(e.stderr_total)
        print(f"{paths[which].name}, set {seed}: {e!r}", file=sys.stderr, flush=True)
    return spread


def chains(paths: Sequence[Path], sets: int, states: int, draws: int, workers: int) -> None:
    """Print the spread of the estimates themselves, run by run and over all of them."""
    print("\n## The estimate\n")
    print("| policy | error | mean | sd over sets | error reported | covered |")
    print("| --- | --- | --- | --- | --- | --- |")
    covered, ratios = [], []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        of = [pool.submit(chain_spread, paths, k, sets, states, draws) for k in range(len(paths))]
        for path, found in zip(paths, of, strict=True):
            spread = found.result()
            print("\n".join(spread.rows(path.name)), flush=True)
            values, told = np.array(spread.values), np.array(spread.errors["total"])
            covered.append(np.abs(values - values.mean()) <= 1.96 * told)
            ratios.append(np.mean(told**2) / values.var(ddof=1))
    held = np.array(covered)
    over = " and ".join(
        f"{held.mean(1 - axis).std(ddof=1) / held.shape[axis] ** 0.5:.1%} over {name}"
        for axis, name in enumerate(("policies", "sets"))
        if held.shape[axis] > 1
    )
    print(f"\nThe total covers {held.mean():.1%} of {held.size} (standard error {over}); its "
          f"square is {np.mean(ratios):.2f} of the variance over sets.")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="+", type=Path)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--states", type=int, default=2048)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2, help="processes of the estimates")
    parser.add_argument("--only", choices=("effective-dimension", "chains"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = [Run(path) for path in args.run]
    print("# The error over states, and the spread over state sets\n")
    print(f"By `benchmarks/llc_states.py`, which says what is measured; sets of {args.states:,} "
          f"states, seeds 0 to {args.sets - 1}; {machine()}\n")  # fmt: skip
    if args.only != "chains":
        effective_dimensions(runs, args.sets, args.states)
    if args.only != "effective-dimension":
        chains(args.run, args.sets, args.states, args.draws, args.workers)


if __name__ == "__main__":
    main()
