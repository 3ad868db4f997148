"""Bias and coverage of LLC estimates on known answers, over seeded repetitions.

    python benchmarks/llc_accuracy.py --jobs 2                    # at the defaults
    python benchmarks/llc_accuracy.py --jobs 2 --batch-size 64    # on batches

Each estimate is kept as soon as it is there; the same command goes on from those in the file, which
must be from the same code.

Wanted of every problem, of the estimates that are `ok`: a bias below 3 %, and the exact value
inside at least 91 % of the nominal 95 % intervals. A bias counts as too large only beyond twice its
own error, and so does a coverage. At the defaults at least 95 % of the estimates are to be `ok`,
with a standard error of at most 5 %; on batches a problem may be refused, by a verdict that is not
`ok`, but not be wrong. Exact means the value at the same nbeta, localization and w*; λ stands next
to it.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from llc_nets import machine

from rl_slt.known.problems import PROBLEMS, Problem
from rl_slt.known.validate import estimate_problem

HERE = Path(__file__).parent
BIAS, COVERAGE, GOOD, ERROR = 0.03, 0.91, 0.95, 0.05
ALL = 0  # the batch size that stands for all data
HEADS = {ALL: "At the defaults: all data at each step"}


def repeat(task: tuple[str, int, int]) -> dict[str, Any]:
    """One seeded estimate: LLC, its standard error, its verdict, and what it cost."""
    name, batch_size, seed = task
    torch.set_num_threads(1)
    problem, began = PROBLEMS[name](), time.process_time()
    e = estimate_problem(problem, None, seed, batch_size=batch_size or None)
    found = {"llc": e.llc, "stderr": e.stderr, "status": e.status}
    asked = {"problem": name, "batch_size": batch_size, "seed": seed}
    return asked | found | {"cpu_s": time.process_time() - began}


@functools.cache
def problem_of(name: str) -> Problem:
    """Made once: some truths are a quadrature."""
    return PROBLEMS[name]()


def row(name: str, batch_size: int, found: pd.DataFrame) -> str:
    """A line of the table, of one problem's estimates."""
    problem, n = problem_of(name), len(found)
    ok = found[found["status"] == "ok"]
    head = (name, f"{problem.exact:.4g}", f"{problem.lambda_:.4g}")
    tail = (f"{len(ok) / n:.0%}", n, f"{found['cpu_s'].mean():.1f}")
    if len(ok) < 2:
        return line(*head, "-", "-", "-", "-", *tail, "refused")
    llc, stderr, m = ok["llc"].to_numpy(), ok["stderr"].to_numpy(), len(ok)
    bias = llc.mean() / problem.exact - 1
    error = math.hypot(llc.std(ddof=1) / math.sqrt(m), problem.exact_error) / problem.exact
    share = float(covered(ok).mean())
    good = float((stderr <= ERROR * llc).sum()) / n
    misses = [
        what
        for what, missed in (
            ("bias", abs(bias) > BIAS + 2 * error),
            ("coverage", share < COVERAGE - 2 * math.sqrt(0.95 * 0.05 / m)),
            ("ok", batch_size == ALL and good < GOOD),
        )
        if missed
    ]
    met = abs(bias) < BIAS and share >= COVERAGE and not misses
    verdict = "yes" if met else f"no: {', '.join(misses)}" if misses else "within chance"
    found_cells = (f"{llc.mean():.4g}", f"{bias:+.1%} ± {error:.1%}", f"{share:.0%}")
    return line(*head, *found_cells, f"{np.median(stderr / llc):.1%}", *tail, verdict)


def covered(found: pd.DataFrame) -> pd.Series:
    """Whether each estimate's nominal 95 % interval, the truth's own error added, holds it."""
    problems = [problem_of(name) for name in found["problem"]]
    errors = np.hypot(found["stderr"], [p.exact_error for p in problems])
    return (found["llc"] - [p.exact for p in problems]).abs() <= 1.96 * errors


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def table(found: pd.DataFrame) -> str:
    """The whole result file."""
    text = f"""# Accuracy of LLC estimates

By `benchmarks/llc_accuracy.py`, which says what is wanted; {machine()}.
Every estimate is in [llc_accuracy.csv](llc_accuracy.csv). Mean, bias, coverage and error are those
of estimates with status `ok`.
"""
    for batch_size in sorted(int(size) for size in found["batch_size"].unique()):
        part = found[found["batch_size"] == batch_size]
        ok = part[part["status"] == "ok"]
        rows = [
            row(n, batch_size, one) for n in PROBLEMS if len(one := part[part["problem"] == n]) > 1
        ]
        text += f"""
## {HEADS.get(batch_size, f"On batches of {batch_size}")}

| problem | exact | λ | mean estimate | bias | coverage of 95 % | median error | ok | repetitions \
| CPU s each | met |
{line(*["---"] * 11)}
{chr(10).join(rows)}

Over all problems {len(ok) / len(part):.0%} of {len(part)} estimates are `ok`; the intervals of \
{covered(ok).mean():.1%} of these hold the exact value.
"""
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=ALL, help="0: all data, the default.")
    parser.add_argument("--only", action="append", choices=sorted(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_accuracy.md")
    args = parser.parse_args()
    kept, keys = args.out.with_suffix(".csv"), ["problem", "batch_size", "seed"]
    done = pd.read_csv(kept) if kept.exists() else pd.DataFrame(columns=keys)
    have = set(done[keys].itertuples(index=False, name=None))
    names = args.only or list(PROBLEMS)
    tasks = [(name, args.batch_size, seed) for seed in range(args.repeats) for name in names]
    tasks = [task for task in tasks if task not in have]
    with ProcessPoolExecutor(args.jobs) as pool:
        for k, found in enumerate(pool.map(repeat, tasks), start=1):
            done = pd.concat([done, pd.DataFrame([found])], ignore_index=True)
            done.to_csv(kept, index=False)
            print(f"{k} of {len(tasks)}", found, flush=True)
    args.out.write_text(table(done))


if __name__ == "__main__":
    main()
