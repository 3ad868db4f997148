"""Bias and coverage of the estimator's defaults on known answers, over seeded repetitions.

python benchmarks/llc_accuracy.py --repeats 200 --only quadratic --only tabular
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch

from rl_slt.known.registry import PROBLEMS
from rl_slt.validate import estimate_problem


def row(name: str, repeats: int) -> str:
    problem = PROBLEMS[name]()
    began = time.process_time()
    estimates = [estimate_problem(problem, None, seed) for seed in range(repeats)]
    spent = (time.process_time() - began) / repeats
    llc = np.array([e.llc for e in estimates])
    stderr = np.array([e.stderr for e in estimates])
    wide = 1.96 * np.hypot(stderr, problem.exact_error)
    covered = float(np.mean(np.abs(llc - problem.exact) <= wide))
    good = float(np.mean([e.status == "ok" and e.stderr <= 0.05 * e.llc for e in estimates]))
    bias = llc.mean() / problem.exact - 1
    error = llc.std(ddof=1) / math.sqrt(repeats) / problem.exact
    cells = (
        name, f"{problem.exact:.4g}", f"{problem.limit:g}", f"{llc.mean():.4g}",
        f"{bias:+.1%} ± {error:.1%}", f"{covered:.0%}", f"{good:.0%}",
        f"{np.median(stderr / llc):.1%}", repeats, f"{spent:.1f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--only", action="append", choices=sorted(PROBLEMS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| problem | exact | λ | mean estimate | bias | coverage of 95 % | ok with error <= 5 % "
          "| median error | repetitions | CPU s each |")  # fmt: skip
    print("| " + " | ".join(["---"] * 10) + " |")
    for name in args.only or PROBLEMS:
        print(row(name, args.repeats), flush=True)


if __name__ == "__main__":
    main()
