"""CPU seconds of the probe stage of a run, part by part, against an earlier commit.

    python benchmarks/probes_speed.py RUN [RUN ...] --against COMMIT

Every run is copied without its finished items and probed in a process of its own by today's code
and by the commit's (with today's `agents`, so that it knows the networks), taking turns, so that
other work on the machine weighs on both. Baselines and states are made anew for each run, though a
study makes them once. Writes benchmarks/results/probes_speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PARTS = {  # what a table calls it: the functions whose time it is
    "episodes of the agents": ("run_suite",),
    "episodes of the baselines": ("make_baselines", "run_baselines"),
    "rates and scores": ("score_episodes",),
    "states of the fixed-state probes": ("collect_states",),
    "counterfactual": ("run_counterfactual",),
    "linear probe": ("run_linear_probe",),
    "layouts met": ("plan_suite", "look_up_layouts"),
    "clips, tables, picture, the rest": ("make", "make_clips", "assemble", "_draw", "_share"),
}


def probe(folder: Path, suite: str) -> None:
    """Probe a run in this process; prints the CPU seconds of its parts as JSON."""
    import torch

    from agents import Run
    from analysis import probes
    from rl_slt.pipeline.engine.jobs import SerialEngine
    from rl_slt.pipeline.plan.study import ProbePlan
    from rl_slt.pipeline.stages.probe import stage

    torch.set_num_threads(1)
    spent: defaultdict[str, float] = defaultdict(float)
    inner = [0.0]  # seconds of the parts called by each that runs now

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            inner.append(0.0)
            try:
                return call(*args, **options)
            finally:
                took = time.process_time() - began
                spent[name] += took - inner.pop()
                inner[-1] += took

        run.__module__, run.__name__ = call.__module__, call.__name__
        return run

    for part, names in PARTS.items():
        for name in names:
            for module in (stage, probes):
                if hasattr(module, name):
                    setattr(module, name, timed(part, getattr(module, name)))
    began = time.process_time()
    stage.probe_runs([Run(folder)], ProbePlan(suite=suite), SerialEngine())
    total = time.process_time() - began
    spent["clips, tables, picture, the rest"] += total - inner[0]
    print(json.dumps(dict(spent) | {"all": total}))


def measured(tree: Path, run: Path, suite: str) -> dict[str, float]:
    """CPU seconds of the parts, under the code of a tree."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / run.name
        made = ("parts", "tables", "clips", "resume", ".locks", "tensorboard")
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns(*made))
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(copy), "--suite", suite, "--here"]
        done = subprocess.run(command, env=environment, cwd=place, check=True,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def earlier(commit: str, place: Path) -> Path:
    """The commit's files, with today's agents."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive.stdout, check=True)
    shutil.rmtree(place / "agents")
    shutil.copytree(ROOT / "agents", place / "agents")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="runs of CoinRun")
    parser.add_argument("--against", default="HEAD", help="commit to compare with")
    parser.add_argument("--suite", default="demo")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "probes_speed.md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        probe(args.runs[0], args.suite)
        return
    sums = {name: defaultdict[str, float](float) for name in ("before", "after")}
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        trees = {"before": earlier(args.against, Path(place)), "after": ROOT}
        for run in args.runs * args.repeats:
            one = {name: measured(tree, run, args.suite) for name, tree in trees.items()}
            ratios.append(one["after"]["all"] / one["before"]["all"])
            for name, parts in one.items():
                for part, seconds in parts.items():
                    sums[name][part] += seconds
            print(run.name, {k: round(v["all"], 1) for k, v in one.items()}, flush=True)
    n = len(ratios)
    lines = [
        "# CPU seconds of the probes of a run", "",
        f"`python benchmarks/probes_speed.py RUN --against {args.against}`: suite `{args.suite}`, "
        f"mean of {n} runs of 12 checkpoints, one", "thread, baselines and states made for each "
        "run; the two codes take turns. Ratios "
        f"run by run: {', '.join(f'{r:.2f}' for r in ratios)}.", "",
        "| part | before | after | ratio |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for part in (*PARTS, "all"):
        before, after = (sums[name][part] / n for name in ("before", "after"))
        ratio = f"{after / before:.2f}" if before > 0.005 else ""
        lines.append(f"| {part} | {before:.1f} | {after:.1f} | {ratio} |")
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
