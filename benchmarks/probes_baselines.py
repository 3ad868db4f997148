"""Baseline rates of the goal probes: what scripted policies get, and what it costs to play them.

    python benchmarks/probes_baselines.py --levels 200

Writes benchmarks/results/probes_baselines.csv: a row per suite, policy and probe, with Wilson
intervals (95 %) and the processor seconds of that policy's whole suite.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

from analysis.probes import SUITES, run_baselines, wilson

RESULTS = Path(__file__).parent / "results"


def rows_of(table: pd.DataFrame, suite: str, seconds: float) -> list[dict[str, object]]:
    rows = []
    for (policy, probe), part in table.groupby(["policy", "probe"]):
        row: dict[str, object] = {"suite": suite, "policy": policy, "probe": probe, "n": len(part)}
        for name, hits in (("coin", part["coin_collected"]), ("end", part["end_reached"]),
                           ("death", part["outcome"] == "death")):  # fmt: skip
            low, high = wilson(float(hits.sum()), len(part))
            row[f"{name}_rate"] = f"{hits.mean():.3f} [{low:.3f}, {high:.3f}]"
        row["mean_length"] = round(float(part["length"].mean()), 1)
        row["cpu_seconds_suite"] = round(seconds, 1)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--levels", type=int, default=200)
    parser.add_argument("--suites", nargs="+", default=["standard", "demo"])
    parser.add_argument("--policies", nargs="+", default=["coin-blind", "random", "coin-seeker"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_baselines.csv")
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for policy in args.policies:
        for name in args.suites:
            suite = SUITES[name].replace(n_levels=args.levels)
            start = time.process_time()
            table = run_baselines(suite, args.seed, policies=[policy])
            rows += rows_of(table, name, time.process_time() - start)
            args.out.parent.mkdir(exist_ok=True)
            pd.DataFrame(rows).to_csv(args.out, index=False)
            print(pd.DataFrame(rows[-len(suite.placements) :]).to_string(), flush=True)


if __name__ == "__main__":
    main()
