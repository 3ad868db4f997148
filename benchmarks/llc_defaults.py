"""What the defaults K = 50 and radius 0.3 buy: LLCs over relative temperatures and radii.

    rl-slt run STUDY.toml --out study          (agents of no study whose numbers are shown)
    python benchmarks/llc_defaults.py study --out benchmarks/results/llc_defaults.md

The last checkpoint of each run on frozen states, with the settings of `rl-slt llc`, one thread; for
each radius of the localizer, as a share of |w*|, a profile. Radii are sqrt(3) apart, so that their
neighbors are at gamma x 3 and x 1/3.

contrast: between the arms' means over runs, over its error: that of the chains, or that of the
    runs' spread, where an arm has several.
gamma: the mean change of an LLC at gamma x 1/3 and x 3, same K, and the mean of its chains' error.
gap: the mean of `LLC / half_d_eff - 1`.
suspect: estimates that are not `ok`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from llc_nets import machine, study_options

from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import load_inputs, plan_estimates
from rl_slt.profile import profile_with
from rl_slt.settings import PROFILE

RADII = [round(0.3 * 3 ** (k / 2), 3) for k in (-2, -1, 0, 1, 2)]
FIELDS = ["llc", "llc_stderr", "half_d_eff", "status"]
HEAD = "| radius | K | LLC | contrast | of chains' error | of runs' error | gamma x 1/3 | gamma x 3 | chains | gap | suspect |"  # noqa: E501


def measured(run: Run, coins: list[str], radius: float) -> pd.DataFrame:
    """The profile of a run's last checkpoint at a radius."""
    plan = LLCPlan(states=("frozen",), localization=f"relative:{radius}")
    item = plan_estimates(run, plan, coins)[-1]
    policy, states, loss = load_inputs(item)
    _, frame = profile_with(policy, states, item.settings, PROFILE, loss, seed=run.training.seed)
    k = frame["relative_temperature"].round()
    known = frame[FIELDS].assign(k=k, arm=run.arm)
    return known.assign(seed=run.training.seed, radius=radius)


def row(found: pd.DataFrame, radius: float, k: float) -> str:
    """A line of the table."""
    here = found[(found["radius"] == radius) & (found["k"] == k)]
    arms = dict(list(here.groupby("arm")))
    first, second = arms.values()
    contrast = first["llc"].mean() - second["llc"].mean()
    chains = np.sqrt(sum((a["llc_stderr"] ** 2).sum() / len(a) ** 2 for a in arms.values()))
    runs = np.sqrt(sum(a["llc"].var() / len(a) for a in arms.values()))
    changes = []
    for step in (1, -1):  # a radius sqrt(3) larger is a third of gamma
        other = RADII.index(radius) + step
        if not 0 <= other < len(RADII):
            changes.append("")
            continue
        there = found[(found["radius"] == RADII[other]) & (found["k"] == k)]
        both = here.merge(there, on=["arm", "seed"])
        changes.append(f"{(both['llc_y'] / both['llc_x'] - 1).mean():+.1%}")
    spread = f"{abs(contrast) / runs:.1f}" if runs > 0 else ""
    cells = [
        f"{radius:g}", f"{k:g}", f"{here['llc'].mean():.2f}", f"{contrast:+.2f}",
        f"{abs(contrast) / chains:.1f}", spread, *changes,
        f"{(here['llc_stderr'] / here['llc']).mean():.1%}",
        f"{(here['llc'] / here['half_d_eff'] - 1).mean():+.1%}",
        f"{(here['status'] != 'ok').sum()} of {len(here)}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Make what is missing, which is kept in the study, and the table."""
    options = study_options(__doc__ or "")
    runs = [Run(path) for path in sorted((options.study / "runs").iterdir())]
    coins = sorted({run.training.coin for run in runs})
    kept = options.study / "llc_defaults.csv"
    found = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=["arm", "seed", "radius"])
    for run in sorted(runs, key=lambda run: run.training.seed):
        for radius in RADII:
            same = (found["arm"] == run.arm) & (found["seed"] == run.training.seed)
            if not (same & (found["radius"] == radius)).any():
                found = pd.concat([found, measured(run, coins, radius)], ignore_index=True)
                found.to_csv(kept, index=False)
    rows = [row(found, radius, k) for radius in RADII for k in sorted(found["k"].unique())]
    rule = "| " + " | ".join("---" for _ in HEAD.split("|")[1:-1]) + " |"
    title = (__doc__ or "").partition("\n")[0]
    count = f"{len(runs)} runs at their last checkpoint; {machine()}"
    text = "\n".join([title, "", count, "", HEAD, rule, *rows]) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
