"""Bias and coverage of the estimator's defaults on known answers, over seeded repetitions.

    python benchmarks/llc_accuracy.py --repeats 200 --dear 40 --jobs 2

Wanted of every problem: a bias below 3 %, the exact value inside at least 91 % of the nominal 95 %
intervals, and at least 95 % of the estimates `ok` with a standard error of at most 5 %. A bias
counts as too large only beyond twice its own error, and so does a coverage. Exact means the value
at the same nbeta, localization and w*; λ stands beside it.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llc_nets import machine

from rl_slt.known.registry import PROBLEMS
from rl_slt.validate import estimate_problem

HERE = Path(__file__).parent
DEAR = ("reduced-rank", "reduced-rank-tight", "reduced-rank-zero", "deep-linear", "low-rank")
BIAS, COVERAGE, GOOD, ERROR = 0.03, 0.91, 0.95, 0.05


def estimates(name: str, seeds: list[int]) -> list[tuple[float, float, bool]]:
    """LLC, its standard error, and whether it is ok and precise."""
    torch.set_num_threads(1)
    problem = PROBLEMS[name]()
    found = [estimate_problem(problem, None, seed) for seed in seeds]
    return [(e.llc, e.stderr, e.status == "ok" and e.stderr <= ERROR * e.llc) for e in found]


def timed(name: str, seeds: list[int]) -> tuple[list[tuple[float, float, bool]], float]:
    began = time.process_time()
    return estimates(name, seeds), time.process_time() - began


def row(name: str, parts: list[Any]) -> str:
    problem = PROBLEMS[name]()
    values = np.array([v for found, _ in parts for v in found], dtype=float)
    llc, stderr, good = values.T
    n, spent = len(llc), sum(seconds for _, seconds in parts)
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
        name, f"{problem.exact:.4g}", f"{problem.limit:g}", f"{llc.mean():.4g}",
        f"{bias:+.1%} ± {error:.1%}", f"{covered:.0%}", f"{good.mean():.0%}",
        f"{np.median(stderr / llc):.1%}", n, f"{spent / n:.1f}", verdict,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--dear", type=int, default=40, help=f"Repetitions of {', '.join(DEAR)}.")
    parser.add_argument("--only", action="append", choices=sorted(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_accuracy.md")
    args = parser.parse_args()
    head = f"""# Accuracy of LLC estimates at the defaults

By `benchmarks/llc_accuracy.py`, which says what is wanted; {machine()}.

| problem | exact | λ | mean estimate | bias | coverage of 95 % | ok, error at most 5 % \
| median error | repetitions | CPU s each | met |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
    rows = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for name in args.only or PROBLEMS:
            count = args.dear if name in DEAR else args.repeats
            parts = [[*range(j, count, args.jobs)] for j in range(args.jobs)]
            rows.append(row(name, [*pool.map(timed, [name] * args.jobs, parts)]))
            print(rows[-1], flush=True)
            args.out.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
