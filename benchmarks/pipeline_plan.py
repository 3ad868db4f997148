"""How well a plan foresees a study: what `--plan` says before each preset runs, and what it took.

    python benchmarks/pipeline_plan.py smoke tiny --out benchmarks/results/plan.md

Times are of a machine that others may use meanwhile, so the processor's time is shown next to them:
that of the plan is the sum over its tasks, that of the study is what its processes used.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from markdown_report import publish, table

from envs import cores
from rl_slt.pipeline.forecast.costs import measure
from rl_slt.pipeline.forecast.work import STAGES, forecast
from rl_slt.pipeline.plan.study import StudyPlan, load_preset, load_study

TINY = Path(__file__).parent / "tiny.toml"


def used(whose: int) -> float:
    times = resource.getrusage(whose)
    return times.ru_utime + times.ru_stime


def try_out(name: str, plan: StudyPlan, argv: list[str]) -> list[dict[str, Any]]:
    """Rows of the table: each stage and the whole."""
    begun, before = time.perf_counter(), used(resource.RUSAGE_SELF)
    costs = measure(plan, cores())
    effort = used(resource.RUSAGE_SELF) - before
    work = forecast(plan, costs, workers=cores())
    print(f"{name}: measured in {time.perf_counter() - begun:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as place:
        before, begun = used(resource.RUSAGE_CHILDREN), time.perf_counter()
        program = [sys.executable, "-c", "from rl_slt.cli import main; main()"]
        subprocess.run([*program, "run", *argv, "--out", f"{place}/study"], check=True)
        took, spent = time.perf_counter() - begun, used(resource.RUSAGE_CHILDREN) - before
        stages = json.loads((Path(place) / "study" / "timings.json").read_text())
    rows = [{"study": name, "part": stage, "plan, s": work.of(stage).seconds,
             "took, s": stages[stage]} for stage in STAGES]  # fmt: skip
    tasks = sum(task.seconds for task in work.tasks)
    rows.append({"study": name, "part": "all", "plan, s": work.seconds, "took, s": took})
    rows.append({"study": name, "part": "all, processor", "plan, s": tasks, "took, s": spent})
    print(f"the measurement used {effort:.0f} s of the processor")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", help="presets, or tiny")
    parser.add_argument("--out", type=Path, help="also write the table here")
    args = parser.parse_args()
    rows = []
    for name in args.studies:
        own = name == "tiny"
        plan = load_study(TINY) if own else load_preset(name)
        rows += try_out(name, plan, [str(TINY)] if own else ["--preset", name])
    for row in rows:
        row["took / plan"] = row["took, s"] / row["plan, s"]
    command = f"`python benchmarks/pipeline_plan.py {' '.join(args.studies)}`"
    said = (
        f"{command} on {os.cpu_count()} cores, which others used, too ({os.getloadavg()[1]:.1f})."
    )
    title = "# What a plan foresees, and what the study took"
    publish(f"{title}\n\n{said}\n\n{table(rows)}\n", args.out)


if __name__ == "__main__":
    main()
