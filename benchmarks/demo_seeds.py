"""Do the demo's two arms end with different goals, seed after seed?

Trains both arms of the `demo` preset for several seeds and probes the last checkpoint of each;
writes the first table of its result and leaves what stands below, on other lengths. A seed passes
when both arms are able (`end` at least 0.8) and their goals differ (`behind` at most 0.05 against
at least 0.8).

    python benchmarks/demo_seeds.py --seeds 0 1 2 3 4 --out /tmp/demo-seeds
"""

import argparse
from pathlib import Path

import pandas as pd
from markdown_report import table as markdown

import agents
from analysis import probes
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.engine.jobs import Job, open_engine
from rl_slt.pipeline.plan.study import load_preset
from rl_slt.pipeline.stages.probe.stage import plan_suite
from rl_slt.pipeline.stages.train import train_one

RESULT = Path(__file__).parent / "results" / "demo_seeds.md"
BELOW = "\nHow long must it train?"
PROBES = ["end", "end@mid", "ground", "behind"]


def rates(path: str, levels: int) -> None:
    run = Run(Path(path))
    out = run.path / "rates.csv"
    suite = plan_suite(run, load_preset("demo").probe)
    suite = suite.replace(placements=tuple(PROBES), n_levels=levels)
    policy = agents.load_policy(run.checkpoints[-1].path)
    episodes = probes.run_suite(policy, suite, seed=0)
    episodes.groupby("probe")["coin_collected"].mean().astype(float).to_csv(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--levels", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    plan = load_preset("demo")
    runs = [(arm, seed, args.out / f"{arm}-s{seed}") for seed in args.seeds for arm in plan.arms]
    with open_engine() as engine:
        train = [
            Job(p.name, train_one, (plan.train_config(arm, seed).as_dict(), str(p), arm))
            for arm, seed, p in runs
        ]
        test = [Job(p.name, rates, (str(p), args.levels)) for _, _, p in runs]
        for stage in (train, test):
            for outcome in engine.run(stage, lambda: None):
                print(outcome.label, outcome.reason or "done", flush=True)
    rows = []
    for arm, seed, path in runs:
        found = pd.read_csv(path / "rates.csv", index_col=0)["coin_collected"]
        rows.append({"seed": seed, "arm": arm, **{p: found[p] for p in PROBES}})
    table = pd.DataFrame(rows)
    wide = table.pivot(index="seed", columns="arm", values=PROBES)
    able = (wide[["end"]] >= 0.8).all(axis=1)
    apart = (wide[("behind", "end")] <= 0.05) & (wide[("behind", "behind")] >= 0.8)
    passed = (able & apart).rename("passes")
    steps = plan.train_config("end", 0).total_steps
    shown = [r | {p: f"{r[p]:.2f}" for p in PROBES} for r in rows]
    _, mark, below = RESULT.read_text().partition(BELOW)
    RESULT.write_text(
        f"# Do the demo's arms end with different goals?\n\nShare of {args.levels} probe levels "
        f"on which the coin was collected, last checkpoint ({steps:,} steps), sampled actions; "
        "made by `benchmarks/demo_seeds.py` on 2 CPU cores.\n\n"
        f"{markdown(shown)}\n"
        f"\n{int(passed.sum())} of {len(passed)} seeds pass: `end` at least 0.8 in both arms, "
        "`behind` at most 0.05 in arm `end` and at least 0.8 in arm `behind`.\n" + mark + below
    )
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
