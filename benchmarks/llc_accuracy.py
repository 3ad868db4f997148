"""Bias and coverage of the estimator's defaults on known answers, over seeded repetitions.

    python benchmarks/llc_accuracy.py --repeats 200 --slow-repeats 40 --jobs 2

Each estimate is kept as soon as it is there; the same command goes on from those in the file, which
must be from the same code.

Wanted of every problem: a bias below 3 %, the exact value inside at least 91 % of the nominal 95 %
intervals, and at least 95 % of the estimates `ok` with a standard error of at most 5 %. A bias
counts as too large only beyond twice its own error, and so does a coverage. Exact means the value
at the same nbeta, localization and w*; λ stands next to it.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from llc_nets import machine

from rl_slt.known.problems import PROBLEMS
from rl_slt.known.validate import estimate_problem

HERE = Path(__file__).parent
SLOW = ("reduced-rank", "reduced-rank-tight", "reduced-rank-zero", "deep-linear", "low-rank")
BIAS, COVERAGE, GOOD, ERROR = 0.03, 0.91, 0.95, 0.05


def repeat(task: tuple[str, int]) -> dict[str, Any]:
    """One seeded estimate: LLC, its standard error, its verdict, and what it cost."""
    name, seed = task
    torch.set_num_threads(1)
    problem, began = PROBLEMS[name](), time.process_time()
    e = estimate_problem(problem, None, seed)
    found = {"llc": e.llc, "stderr": e.stderr, "status": e.status}
    return {"problem": name, "seed": seed} | found | {"cpu_s": time.process_time() - began}


def row(name: str, found: pd.DataFrame) -> str:
    problem = PROBLEMS[name]()
    llc, stderr = found["llc"].to_numpy(), found["stderr"].to_numpy()
    good = (found["status"] == "ok").to_numpy() & (stderr <= ERROR * llc)
    n = len(llc)
    wide = 1.96 * np.hypot(stderr, problem.exact_error)
    covered = float(np.mean(np.abs(llc - problem.exact) <= wide))
    bias = llc.mean() / problem.exact - 1
    error = math.hypot(llc.std(ddof=1) / math.sqrt(n), problem.exact_error) / problem.exact
    misses = [
        what
        for what, missed in (
            ("bias", abs(bias) > BIAS and abs(bias) > BIAS + 2 * error),
            ("coverage", covered < COVERAGE - 2 * math.sqrt(0.95 * 0.05 / n)),
            ("ok", good.mean() < GOOD),
        )
        if missed
    ]
    met = abs(bias) < BIAS and covered >= COVERAGE and good.mean() >= GOOD
    verdict = "yes" if met else f"no: {', '.join(misses)}" if misses else "within chance"
    cells = (
        name, f"{problem.exact:.4g}", f"{problem.lambda_:g}", f"{llc.mean():.4g}",
        f"{bias:+.1%} ± {error:.1%}", f"{covered:.1%}", f"{good.mean():.1%}",
        f"{np.median(stderr / llc):.1%}", n, f"{found['cpu_s'].mean():.1f}", verdict,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found: pd.DataFrame) -> str:
    """The whole result file."""
    rows = [row(n, part) for n in PROBLEMS if len(part := found[found["problem"] == n]) > 1]
    return f"""# Accuracy of LLC estimates at the defaults

By `benchmarks/llc_accuracy.py`, which says what is wanted; {machine()}.
Every estimate is in [llc_accuracy.csv](llc_accuracy.csv).

| problem | exact | λ | mean estimate | bias | coverage of 95 % | ok, error at most 5 % \
| median error | repetitions | CPU s each | met |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}
"""


def wanted(args: argparse.Namespace, done: pd.DataFrame) -> list[tuple[str, int]]:
    """Repetitions that are not yet in the file of estimates."""
    have = set(zip(done["problem"], done["seed"], strict=True))
    counts = {n: args.slow_repeats if n in SLOW else args.repeats for n in args.only or PROBLEMS}
    return [(n, s) for n, count in counts.items() for s in range(count) if (n, s) not in have]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument(
        "--slow-repeats", type=int, default=40, help=f"Repetitions of {', '.join(SLOW)}."
    )
    parser.add_argument("--only", action="append", choices=sorted(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_accuracy.md")
    args = parser.parse_args()
    kept = args.out.with_suffix(".csv")
    done = pd.read_csv(kept) if kept.exists() else pd.DataFrame({"problem": [], "seed": []})
    tasks = wanted(args, done)
    with ProcessPoolExecutor(args.jobs) as pool:
        for k, found in enumerate(pool.map(repeat, tasks), start=1):
            done = pd.concat([done, pd.DataFrame([found])], ignore_index=True)
            done.to_csv(kept, index=False)
            args.out.write_text(table(done))
            print(f"{k} of {len(tasks)}", found, flush=True)


if __name__ == "__main__":
    main()
