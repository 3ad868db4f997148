"""What whole studies cost, in units that do not depend on the machine.

One unit is the time in which stock stable-baselines3 trains its PPO for 100,000 steps on the same
machine: the network `small`, the settings of the demo, all cores (`agents_stock.py`). It is
measured before and after each study, and a study is a whole `rl-slt run` in a process of its own.

    python benchmarks/studies.py smoke demo --out benchmarks/results/studies.md --kept /tmp/studies
    python benchmarks/studies.py benchmarks/five_seeds.toml --out ... --kept ...   # adds its row

What a processor without AVX-512 would do is seen on one that has it by holding torch's libraries
back: ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from agents_speed import processor
from markdown_report import publish, table

UNIT_STEPS, MEASURED = 100_000, 8  # rollouts of stock's that are timed, after one to warm up
HEAD = """# What whole studies cost

Made by `benchmarks/studies.py`. One unit is the time in which stock stable-baselines3 trains
100,000 steps (network `small`, settings of the demo, all cores) on the same machine, measured
before and after each study; the columns of stages are units of wall time, too. A study is a whole
`rl-slt run` in a process of its own.

"""
STAGES = ("train", "llc", "probe", "report")


def stock_unit() -> float:
    """Seconds of one unit, from some rollouts and updates of stock's in a process of its own."""
    script = Path(__file__).with_name("agents_speed.py")
    command = [sys.executable, "-W", "ignore", str(script), "--kind", "stock", "--network", "small"]
    command += ["--n-steps", "64", "--batch-size", "512", "--updates", str(MEASURED)]
    command += ["--threads", str(os.cpu_count() or 1)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(UNIT_STEPS / json.loads(out)["wall"])


def run_study(which: str, out: Path, seeds: str | None) -> dict[str, Any]:
    """Units and minutes of a study, by stage."""
    asked = [which] if which.endswith(".toml") else ["--preset", which]
    asked += ["--seeds", seeds] if seeds else []
    before, start = stock_unit(), time.perf_counter()
    subprocess.run(["rl-slt", "run", *asked, "--out", str(out), "--resume"], check=True)
    spent = time.perf_counter() - start
    unit = (before + stock_unit()) / 2
    stages = json.loads((out / "timings.json").read_text())
    return {
        "study": Path(which).stem, "units": round(spent / unit, 2), "minutes": spent / 60,
        **{stage: stages.get(stage, float("nan")) / unit for stage in STAGES},
        "unit, s": unit, "unit before / after": before / (2 * unit - before),
        "on": f"{os.cpu_count()} cores, {processor()}",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", help="presets, or TOML files")
    parser.add_argument("--seeds", help="A:B, the seeds of a study, in place of its own")
    parser.add_argument("--kept", type=Path, required=True, help="studies and rows are kept here")
    parser.add_argument("--out", type=Path, help="the table; left out, it is printed")
    args = parser.parse_args()
    args.kept.mkdir(parents=True, exist_ok=True)
    rows = args.kept / "rows.csv"
    for which in args.studies:
        row = run_study(which, args.kept / Path(which).stem, args.seeds)
        pd.DataFrame([row]).to_csv(rows, mode="a", index=False, header=not rows.exists())
    found = [dict(row) for _, row in pd.read_csv(rows).iterrows()]
    publish(HEAD + table(found) + "\n", args.out)


if __name__ == "__main__":
    main()
