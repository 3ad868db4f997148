"""What a study would cost, from the costs that a finished study on this machine had.

    python benchmarks/pipeline_scale.py demo --agents 100 --checkpoints 200 --losses 3 --nodes 64

Reads the finished units of the study (seconds, bytes) and multiplies. Training is projected from
its own speed, `--steps` for each agent.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rl_slt.pipeline.disk.layout import Run, Study, open_path, runs_of
from rl_slt.pipeline.engine.progress import duration


@dataclass(frozen=True)
class Costs:
    """Measured costs of one unit: seconds on one core, and bytes on disk."""

    estimate: float
    probes: float
    steps_per_second: float
    checkpoint_bytes: float
    estimate_bytes: float
    probe_bytes: float
    dispatch: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} = {value}: the study lacks units to measure it by")


@dataclass(frozen=True)
class Size:
    """The study that is planned; `copies` counts the state sets that each loss is averaged over."""

    agents: int = 100
    checkpoints: int = 200
    losses: int = 3
    copies: int = 1
    nodes: int = 64
    cores: int = 16
    steps: float = 8e5


def measure(study: Study, dispatch: float, train_workers: int) -> Costs:
    """The costs that the units of a finished study had."""
    runs = runs_of(study)
    spent = json.loads((study.path / "timings.json").read_text())
    llc = pd.concat([pd.read_parquet(run.tables / "llc.parquet") for run in runs])
    units = sum(len(_folders(run, "probe")) for run in runs)
    steps = sum(run.training.total_steps for run in runs)
    return Costs(
        estimate=float(llc["seconds"].mean()),
        probes=spent["probe"] * train_workers / units,
        steps_per_second=steps / (spent["train"] * train_workers),
        checkpoint_bytes=_mean_bytes([c.path for run in runs for c in run.checkpoints]),
        estimate_bytes=_mean_bytes([p for run in runs for p in _folders(run, "llc")]),
        probe_bytes=_mean_bytes([p for run in runs for p in _folders(run, "probe")]),
        dispatch=dispatch,
    )


def project(costs: Costs, size: Size) -> dict[str, dict[str, float]]:
    """Units, core seconds, wall seconds and bytes of each stage."""
    workers = size.nodes * size.cores
    units = {
        "train": size.agents,
        "llc": size.agents * size.checkpoints * size.losses * size.copies,
        "probe": size.agents * size.checkpoints,
    }
    each = {
        "train": size.steps / costs.steps_per_second,
        "llc": costs.estimate,
        "probe": costs.probes,
    }
    stored = {
        "train": costs.checkpoint_bytes * size.checkpoints,
        "llc": costs.estimate_bytes,
        "probe": costs.probe_bytes,
    }
    found = {}
    for stage, count in units.items():
        rounds = -(-count // workers)  # the last round may leave most workers idle
        dispatch = count * costs.dispatch
        found[stage] = {
            "units": count,
            "each": each[stage],
            "core": count * each[stage],
            "wall": max(rounds * each[stage], dispatch),
            "dispatch": dispatch,
            "bytes": count * stored[stage],
        }
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """The projection as Markdown."""
    lines = [
        "| stage | units | each, s | core hours | wall | of it scheduler | on disk, GB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {stage} | {c['units']:,.0f} | {c['each']:.1f} | {c['core'] / 3600:.1f} | "
        f"{duration(c['wall'])} | {duration(c['dispatch'])} | {c['bytes'] / 1e9:.2f} |"
        for stage, c in found.items()
    ]
    total = {k: sum(c[k] for c in found.values()) for k in ("units", "core", "wall", "bytes")}
    lines.append(
        f"| all | {total['units']:,.0f} | | {total['core'] / 3600:.1f} | "
        f"{duration(total['wall'])} | | {total['bytes'] / 1e9:.2f} |"
    )
    return "\n".join(lines)


def _folders(run: Run, kind: str) -> list[Path]:
    return [p for p in (run.path / "parts" / kind).glob("*") if not p.name.startswith(".")]


def _mean_bytes(folders: list[Path]) -> float:
    sizes = [sum(p.stat().st_size for p in f.rglob("*") if p.is_file()) for f in folders]
    return statistics.fmean(sizes) if sizes else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="a finished study of such agents")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--checkpoints", type=int, default=200)
    parser.add_argument("--losses", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="state sets for each loss")
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--steps", type=float, default=8e5, help="environment steps of an agent")
    parser.add_argument("--dispatch", type=float, default=0.0024, help="seconds to hand out a unit")
    parser.add_argument("--train-workers", type=int, default=2, help="that the study ran on")
    args = parser.parse_args()
    study = open_path(args.study)
    if not isinstance(study, Study):
        raise SystemExit(f"{args.study} is a run; name a finished study")
    costs = measure(study, args.dispatch, args.train_workers)
    size = Size(args.agents, args.checkpoints, args.losses, args.copies, args.nodes, args.cores,
                args.steps)  # fmt: skip
    print(costs)
    print(table(project(costs, size)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
