"""The LLC over resolutions next to half the effective dimension, its cost, and where it is flat.

    rl-slt run --preset demo --out demo
    python benchmarks/llc_profile.py demo --only gap --seconds 400     (again and again, it goes on)
    python benchmarks/llc_profile.py demo --out benchmarks/results/llc_profile.md

Every checkpoint of a study of policies on its frozen states, with the settings of `rl-slt llc`
(distinct actions, balanced gauge, localizer of 0.3 of the weights' norm), one thread. The profiles
are those of `rl-slt llc STUDY --profile --profile-of all`, kept in the study.

gap: `LLC / half_d_eff - 1` over all checkpoints at each resolution; its noise is what the errors of
    both alone would make of it.
cost: CPU seconds of a headline with its profile over those of the headline's estimate alone, in
    turn in one process, the last checkpoint of one run of each arm.
exact: at the two checkpoints of the largest gap at each K up to 50, Hamiltonian Monte Carlo over
    all states with its Metropolis test, its reference Gaussian of 256 directions of curvature, and
    half_d_eff of four times the rows: whether the gap is the posterior's or the chains'.
batches: the same chains on batches of 64 and of 256 states, next to half_d_eff: what the gap owes
    to the noise of batches and not to the posterior.
verdict: what is said of the reduced-rank problem (10,6,10,4), lambda 37.5, and of the policies.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from llc_nets import machine

from rl_slt import HMC, estimate_with, llc_profile, profile_verdict
from rl_slt.known.problems import reduced_rank
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import (
    Profile,
    load_inputs,
    make,
    plan_estimates,
    plan_profiles,
)
from rl_slt.posterior import spectrum
from rl_slt.profile import profile_with
from rl_slt.settings import PROFILE, RESOLUTIONS

WANTED, HIGHEST = 0.08, 50.0  # of the gap, up to that relative temperature
MOST = 3.0  # times the cost of one estimate


def profiles_of(study: Path) -> list[Profile]:
    """A profile of each checkpoint of the study's runs, the last ones first."""
    plan = LLCPlan(states=("frozen",), profile=RESOLUTIONS, profile_of="all")
    runs = [Run(path) for path in sorted((study / "runs").iterdir())]
    coins = sorted({run.training.coin for run in runs})
    found = [p for run in runs for p in plan_profiles(plan_estimates(run, plan, coins), plan)]
    return sorted(found, key=lambda profile: -profile.step)


def gap_lines(frame: pd.DataFrame) -> list[str]:
    """A row for each resolution: the gap over all checkpoints, next to its noise."""
    lines = []
    for k, rows in frame.groupby(frame["relative_temperature"].round(3)):
        rows = rows[rows["status"] != "failed"]
        gap = rows["llc"] / rows["half_d_eff"] - 1
        errors = np.hypot(rows["llc_stderr"] / rows["llc"],
                          rows["half_d_eff_stderr"] / rows["half_d_eff"])  # fmt: skip
        within = (gap.abs() <= WANTED).sum()
        wanted = f"yes: {within} of {len(gap)}" if k <= HIGHEST else "not asked for"
        lines.append(
            f"| {k:g} | {rows['llc'].min():.3g} to {rows['llc'].max():.3g} | {gap.mean():+.1%} ± "
            f"{gap.std() / math.sqrt(len(gap)):.1%} | {gap.std():.1%} | {errors.mean():.1%} | "
            f"{gap.min():+.1%} to {gap.max():+.1%} | {wanted} | {(rows['status'] != 'ok').sum()} |"
        )
    return lines


def cost_line(item: Profile) -> str:
    """CPU seconds of a headline with its profile and of one estimate, in turn."""
    policy, states, loss = load_inputs(item.estimate)
    settings = item.estimate.settings

    def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
        begun, result = time.process_time(), call()
        return time.process_time() - begun, result

    estimate_with(policy, states, settings.replace(draws=8, burn_in=2), loss, seed=0)  # traces
    alone, one = seconds(lambda: estimate_with(policy, states, settings, loss, seed=0))
    whole, both = seconds(lambda: profile_with(policy, states, settings, PROFILE, loss, seed=0))
    assert both[0].llc == one.llc
    share = whole / alone
    return (
        f"| {Path(item.run).name} | {alone:.1f} | {whole:.1f} | {share:.2f} | "
        f"{'yes' if share <= MOST else 'no'}, {MOST:g} |"
    )


def exact_line(item: Profile, row: Any) -> str:
    """A checkpoint at one resolution as the profile has it, and by exact sampling."""
    policy, states, loss = load_inputs(item.estimate)
    settings = item.estimate.settings.replace(
        nbeta=f"relative:{row.relative_temperature:.6g}", preconditioner_rank=256, chains=8,
        sampler=HMC(rotate=True, leapfrog=3, step_jitter=2.0), burn_in=32, draws=48,
    )  # fmt: skip
    begun = time.process_time()
    with mock.patch.object(spectrum, "ROWS", 4 * spectrum.ROWS):
        e = estimate_with(policy, states, settings, loss, seed=1, states_error=False)
    gap = e.llc / e.half_d_eff - 1
    error = math.hypot(e.stderr / e.llc, e.half_d_eff_stderr / e.half_d_eff)
    return (
        f"| {Path(item.run).name}, {item.step:,} | {row.relative_temperature:.3g} | "
        f"{row.llc:.2f} ± {row.llc_stderr:.2f} | {row.half_d_eff:.2f} ± {row.half_d_eff_stderr:.2f}"
        f" | {row.llc / row.half_d_eff - 1:+.1%} | {e.llc:.2f} ± {e.stderr:.2f} | "
        f"{e.half_d_eff:.2f} ± {e.half_d_eff_stderr:.2f} | {gap:+.1%} ± {error:.1%} | "
        f"{e.rhat:.2f} | {e.ess:.0f} | {time.process_time() - begun:.0f} |"
    )


def largest_gaps(profiles: list[Profile], count: int = 2) -> list[tuple[Profile, Any]]:
    """At each resolution asked for, the checkpoints of the largest gap, equal policies once."""
    made = {item.estimate.weights: item for item in profiles if item.store.has(item.key)}
    rows = pd.concat([
        item.store.read_item(item.key, "profile").assign(weights=weights)
        for weights, item in made.items()
    ])  # fmt: skip
    rows = rows[rows["relative_temperature"] <= HIGHEST + 0.5]
    rows = rows.assign(gap=(rows["llc"] / rows["half_d_eff"] - 1).abs())
    rows = rows.sort_values("gap", ascending=False)
    largest = rows.groupby(rows["relative_temperature"].round()).head(count)
    largest = largest.sort_values(["relative_temperature", "gap"])
    found: list[Any] = list(largest.itertuples())
    return [(made[row.weights], row) for row in found]


def batch_lines(item: Profile) -> list[str]:
    """The LLC of a checkpoint on small and large batches, at three resolutions."""
    policy, states, loss = load_inputs(item.estimate)
    lines = []
    for k in (50, 150, 500):
        found = [
            estimate_with(
                policy, states, item.estimate.settings.replace(nbeta=f"relative:{k}", batch_size=b),
                loss, seed=1, states_error=False,
            )
            for b in (64, 256)
        ]  # fmt: skip
        half = f"{found[0].half_d_eff:.1f} ± {found[0].half_d_eff_stderr:.1f}"
        numbers = " | ".join(f"{e.llc:.1f} ± {e.stderr:.1f} ({e.status})" for e in found)
        apart = " | ".join(f"{e.llc / e.half_d_eff - 1:+.1%}" for e in found)
        lines.append(f"| {Path(item.run).name} | {k} | {half} | {numbers} | {apart} |")
    return lines


def plateau_line() -> str:
    """What a profile says of the reduced-rank problem (10,6,10,4)."""
    problem = reduced_rank((10, 6, 10, 4), 0.0, 0.0)
    frame = llc_profile(
        problem.policy, problem.data, [100.0, 268.6, 1000.0], loss=problem.loss,
        localization=0.1, draws=300, seed=1,
    )  # fmt: skip
    llcs = ", ".join(f"{r.llc:.1f} ± {r.llc_stderr:.1f}" for r in frame.itertuples())
    return f"| reduced rank (10,6,10,4) | {llcs} | {profile_verdict(frame)} |"


def make_missing(profiles: list[Profile], seconds: float) -> None:
    """Make profiles that are not there yet, for that long."""
    begun = time.monotonic()
    for item in profiles:
        if time.monotonic() - begun > seconds:
            break
        make(item)


def kept_line(study: Path, item: Profile, row: Any) -> str:
    """`exact_line`, from the study where it was made before."""
    kept = study / f"exact_{item.key}_{row.relative_temperature:.3g}.md"
    if not kept.exists():
        kept.write_text(exact_line(item, row))
        print(kept.read_text(), flush=True)
    return kept.read_text()


def tables(study: Path, profiles: list[Profile]) -> dict[str, Callable[[], str]]:
    """The tables by name, each made by a call."""
    lasts = [item for item in profiles if item.step == profiles[0].step]

    def gap() -> str:
        made = [item for item in profiles if item.store.has(item.key)]
        found = [item.store.read_item(item.key, "profile") for item in made]
        rows = gap_lines(pd.concat(found, ignore_index=True))
        said = pd.Series([profile_verdict(frame) for frame in found]).value_counts()
        lines = [
            f"{count} of {len(found)} checkpoints: {verdict}." for verdict, count in said.items()
        ]
        head = "K | LLC | mean gap | spread | noise | least to largest | within 8 % | suspect"
        lines.insert(0, f"{len(found)} of {len(profiles)} checkpoints.")
        return table(head, rows) + "\n\n" + " ".join(lines)

    def cost() -> str:
        head = "run | one estimate, CPU s | headline with profile, CPU s | times | wanted"
        return table(head, [cost_line(item) for item in lasts])

    def exact() -> str:
        head = ("checkpoint | K | LLC | half d_eff | gap | LLC, exact | half d_eff, 4,096 rows | "
                "gap | R-hat | ESS | CPU s")  # fmt: skip
        return table(head, [kept_line(study, *case) for case in largest_gaps(profiles)])

    def batches() -> str:
        head = "run | K | half d_eff | LLC, batches of 64 | of 256 | gap at 64 | at 256"
        return table(head, [line for item in lasts for line in batch_lines(item)])

    def plateau() -> str:
        return table("problem | LLC | verdict", [plateau_line()])

    return {"gap": gap, "exact": exact, "cost": cost, "batches": batches, "plateau": plateau}


def table(head: str, lines: Iterable[str]) -> str:
    """A table in Markdown."""
    rule = " | ".join("---" for _ in head.split("|"))
    return "\n".join([f"| {head} |", f"| {rule} |", *lines])


def main() -> None:
    """Make the profiles that are missing, and the tables, each kept in the study until `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--seconds", type=float, default=math.inf, help="for profiles, at most")
    parser.add_argument("--only", help="one table: gap, exact, cost, batches, plateau")
    parser.add_argument("--out", type=Path)
    options: Any = parser.parse_args()
    torch.set_num_threads(1)
    profiles = profiles_of(options.study)
    if options.only in (None, "gap"):
        make_missing(profiles, options.seconds)
    texts = []
    for name, call in tables(options.study, profiles).items():
        if options.only not in (None, name):
            continue
        kept = options.study / f"llc_profile_{name}.md"
        if name == "gap" or not kept.exists():
            kept.write_text(call())
        texts.append(kept.read_text())
        print(texts[-1], flush=True)
    if options.out:
        text = "\n\n".join([(__doc__ or "").partition("\n")[0], machine(), *texts])
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
