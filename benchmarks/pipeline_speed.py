"""What the units of work cost beyond their work, and what a second worker brings.

Three measurements: jobs that do nothing, many of them, in this process and on two workers (time and
memory for each); and `llc` of 12 checkpoints on one worker and on two, in pairs of runs. The
scaling needs two idle cores.

    python benchmarks/pipeline_speed.py --out benchmarks/results/pipeline_speed.md
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import agents
from agents.checkpoints import NetworkSpec, save_checkpoint, write_index
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.engine.jobs import Engine, Job, open_engine
from rl_slt.pipeline.plan.study import LLCPlan
from rl_slt.pipeline.stages.llc import estimate_runs

CHECKPOINTS = 12


def nothing(number: int) -> None:
    """A unit without work."""


def make_run(path: Path) -> Run:
    """A run with 12 checkpoints of random weights; what they have learned does not change costs."""
    config = agents.TrainConfig(
        network="small", steps=2**20, levels=(0, 1000), time_limit=200,
        settings=agents.ppo_preset("demo").settings,
    )  # fmt: skip
    spec = NetworkSpec("small", {})
    for number in range(CHECKPOINTS):
        torch.manual_seed(number)
        save_checkpoint(path, number * 1000, spec.build(), spec, {})
    write_index(path, finished=True)
    entry = {"name": path.name, "arm": "end", "seed": 0, "train": config.as_dict()}
    (path / "config.json").write_text(json.dumps(entry))
    return Run(path)


def memory() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def warm(engine: Engine, workers: int) -> None:
    """Have every worker started and its imports made."""
    list(engine.run([Job(f"warm {i}", time.sleep, (0.5,)) for i in range(2 * workers)], _quiet))


def overhead(workers: int, jobs: int) -> dict[str, Any]:
    """Time and memory of jobs that do nothing, queued all at once."""
    queue = [Job(f"unit {i}", nothing, (i,)) for i in range(jobs)]
    with open_engine(workers) as engine:
        warm(engine, max(1, workers))
        before, begun, first, good = memory(), time.perf_counter(), 0.0, 0
        for outcome in engine.run(queue, _quiet):
            first = first or time.perf_counter() - begun
            good += not outcome.reason
        spent = time.perf_counter() - begun
    return {
        "engine": f"{workers} Dask workers" if workers else "this process",
        "jobs": jobs, "good": good, "seconds": spent, "each": 1000 * spent / jobs,
        "first": first, "memory": memory() - before,
    }  # fmt: skip


def estimates(workers: int, place: Path) -> float:
    """Seconds of `llc` of 12 checkpoints; start of the workers and the state set not counted."""
    run = make_run(place / f"run-{time.monotonic_ns()}")
    plan = LLCPlan(states=("frozen",))
    with open_engine(workers) as engine:
        warm(engine, workers)
        first = plan.replace(chains=2, draws=8, burn_in=0)  # collects the states
        assert not estimate_runs([run], first, engine)
        begun = time.perf_counter()
        failed = estimate_runs([run], plan, engine)
        spent = time.perf_counter() - begun
    assert not failed, failed[0]
    return spent


def scaling(pairs: int, place: Path) -> list[tuple[float, float]]:
    """Seconds with one worker and with two, alternating so that drift of the machine cancels."""
    found = []
    for number in range(pairs):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        spent = {workers: estimates(workers, place) for workers in order}
        found.append((spent[1], spent[2]))
        print(f"one {spent[1]:.1f} s, two {spent[2]:.1f} s: {spent[1] / spent[2]:.2f}", flush=True)
    return found


def report(costs: list[dict[str, Any]], pairs: list[tuple[float, float]]) -> str:
    lines = [
        "# Units of work: overhead and scaling",
        "",
        f"`python benchmarks/pipeline_speed.py` on {os.cpu_count()} cores, CPU, Python "
        f"{platform.python_version()}, torch {torch.__version__}; load of the machine at the end "
        f"{os.getloadavg()[0]:.1f}.",
        "",
        "Jobs that do nothing, all queued at once:",
        "",
        "| on | jobs | succeeded | seconds | ms each | first after, s | memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {c['engine']} | {c['jobs']} | {c['good']} | {c['seconds']:.1f} | {c['each']:.2f} | "
        f"{c['first']:.2f} | {c['memory']:.0f} |"
        for c in costs
    ]
    if pairs:
        ratios = [one / two for one, two in pairs]
        lines += [
            "",
            f"`llc` of {CHECKPOINTS} checkpoints, default settings, small network, frozen states, "
            "one torch thread each:",
            "",
            "| one worker, s | two workers, s | ratio |",
            "| --- | --- | --- |",
            *(f"| {one:.1f} | {two:.1f} | {one / two:.2f} |" for one, two in pairs),
            "",
            f"Median ratio {statistics.median(ratios):.2f}.",
        ]
    return "\n".join(lines) + "\n"


def _quiet() -> None:
    pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=2, help="of llc on one and on two workers")
    parser.add_argument("--out", type=Path, help="also write the table here")
    args = parser.parse_args()
    costs = [overhead(workers, args.jobs) for workers in (0, 2)]
    for cost in costs:
        print(cost, flush=True)
    with tempfile.TemporaryDirectory() as place:
        pairs = scaling(args.pairs, Path(place))
    text = report(costs, pairs)
    if args.out is not None:
        args.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
