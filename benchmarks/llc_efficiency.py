"""CPU seconds to a standard error of 5 % on a low-rank softmax policy: rl-slt and devinterp 1.3.2.

    python benchmarks/llc_efficiency.py --devinterp-python devinterp/bin/python

The error is the spread of the estimates over seeded repetitions, not what either says of itself,
and a run of t CPU seconds with a relative spread of s needs t (s / 5 %)^2. Adaptation, burn-in and
tracing count. Ours runs at the defaults and with more chains, which a small network computes all at
once; devinterp runs chains one after the other, so that more of them gain it nothing. It goes over
a grid of 8 step sizes, its three samplers, and half or none of its draws as burn-in; a setting that
is more than 5 % off the exact value never gets there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llc_nets import machine

from rl_slt.known.problems import PROBLEMS
from rl_slt.known.validate import estimate_problem

HERE = Path(__file__).parent
WANTED, MOST_BIAS = 0.05, 0.05
CHAINS = (4, 16, 64)  # the first is the default


def ours(repeats: int, chains: int) -> dict[str, Any]:
    problem = PROBLEMS["low-rank"]()
    began = time.process_time()
    llc = [estimate_problem(problem, None, seed, chains).llc for seed in range(repeats)]
    return {"llc": llc, "seconds": (time.process_time() - began) / repeats}


def theirs(python: str, repeats: int, draws: int) -> list[dict[str, Any]]:
    problem = PROBLEMS["low-rank"]()
    rows, columns = (p.detach() for p in problem.policy.parameters())
    known: dict[str, Any] = {"rows": rows, "columns": columns, "states": problem.data.states}
    known |= {"nbeta": problem.nbeta, "localization": problem.localization}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.pt"
        torch.save(known, file)
        command = [python, "llc_devinterp.py", str(file), "--draws", str(draws)]
        command += ["--repeats", str(repeats)]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def judged(entry: dict[str, Any], exact: float) -> dict[str, Any]:
    llc = np.array(entry["llc"])
    bias, spread = llc.mean() / exact - 1, llc.std(ddof=1) / exact
    fine = abs(bias) <= MOST_BIAS  # a NaN is not
    need = entry["seconds"] * (spread / WANTED) ** 2 if fine else np.inf
    return entry | {"bias": bias, "spread": spread, "need": float(need)}


def line(name: str, entry: dict[str, Any]) -> str:
    need = f"{entry['need']:.2f}" if np.isfinite(entry["need"]) else "never"
    cells = (
        name, f"{entry['bias']:+.1%}", f"{entry['spread']:.1%}", f"{entry['seconds']:.2f}", need,
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devinterp-python", required=True, help="Python with devinterp 1.3.2.")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--draws", type=int, default=400, help="Of each of devinterp's chains.")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "llc_efficiency.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    exact = PROBLEMS["low-rank"]().exact
    own = [judged(ours(args.repeats, chains), exact) for chains in CHAINS]
    least = min(own, key=lambda e: e["need"])
    grid = [judged(e, exact) for e in theirs(args.devinterp_python, args.repeats, args.draws)]
    best = min(grid, key=lambda e: e["need"])
    burnt = min((e for e in grid if e["burn_in"]), key=lambda e: e["need"])
    rows = [line(f"rl-slt, {n} chains", e) for n, e in zip(CHAINS, own, strict=True)]
    for e in grid:
        burn = f", burn-in {e['burn_in']}" if e["burn_in"] else ""
        star = " (best)" if e is best and np.isfinite(e["need"]) else ""
        rows.append(line(f"devinterp {e['sampler']} {e['step']:g}{burn}{star}", e))
    text = f"""# CPU seconds to a standard error of 5 %

Low-rank softmax policy (12 states, 4 hidden, 6 actions, rank 2), exact value {exact:.3f};
{args.repeats} repetitions, devinterp with 4 chains of {args.draws} draws, batch 256; {machine()}.
By `benchmarks/llc_efficiency.py`, which says what is counted.

| estimator | bias | spread | CPU s | CPU s to 5 % |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

Best of devinterp over rl-slt: {best["need"] / own[0]["need"]:.1f} times at the defaults,
{best["need"] / least["need"]:.0f} times with more chains; of its settings with burn-in,
{burnt["need"] / own[0]["need"]:.0f} and {burnt["need"] / least["need"]:.0f} times.
Without burn-in, draws near w* pull the mean down while a coarse step pushes it up; where the two
cancel, a setting looks unbiased.
"""
    args.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
