"""What `rl-slt watch` costs a training beside it: training alone and watched, in turns.

python benchmarks/watch_share.py --out benchmarks/results/watch_share.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markdown_report import publish
from tiny_results import PROGRAM

CORES = 2
HEAD = ("round", "training", "seconds", "steps/s", "estimates", "CPU s of estimates",
        "CPU s of watch", "share of a core")  # fmt: skip


def train(out: Path, steps: int) -> subprocess.Popen[bytes]:
    argv = ["train", str(out), "--coin", "end", "--steps", str(steps), "--seed", "0"]
    return subprocess.Popen([*PROGRAM, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds_of(run: Path) -> tuple[float, int]:
    """Seconds from the first checkpoint to the last, start-up left out, and steps between."""
    saved = sorted((run / "checkpoints").glob("0*/policy.json"))
    times = [path.stat().st_mtime for path in saved]
    return times[-1] - times[0], int(saved[-1].parent.name) - int(saved[0].parent.name)


def alone(run: Path, steps: int) -> list[object]:
    train(run, steps).wait()
    seconds, done = seconds_of(run)
    return ["alone", seconds, done / seconds, 0, 0.0, 0.0, 0.0]


def watched(run: Path, steps: int, share: float) -> list[object]:
    """Training with a watch from its first checkpoint on; the watch ends with the training."""
    training = train(run, steps)
    while not list((run / "checkpoints").glob("0*/policy.json")):
        time.sleep(0.2)
    start = time.perf_counter()
    watch = subprocess.Popen(
        [*PROGRAM, "watch", str(run), "--share", str(share)], stdout=subprocess.DEVNULL
    )
    training.wait()
    watch.send_signal(signal.SIGTERM)
    _, _, used = os.wait4(watch.pid, 0)
    wall, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    seconds, done = seconds_of(run)
    log = run / "watch.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    spent = [float(e["cpu_seconds"]) for e in events if e["event"] == "estimate"]
    return ["watched", seconds, done / seconds, len(spent), sum(spent), cpu, cpu / wall]


def report(rounds: int, steps: int, share: float) -> str:
    """Measure, as Markdown."""
    os.sched_setaffinity(0, set(range(CORES)))
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for k in range(rounds):
            for name, measure in (("a", alone), ("w", watched)):
                more = (share,) if measure is watched else ()
                rows.append([k + 1, *measure(Path(place) / f"{name}{k}", steps, *more)])
    lines = [
        "| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in rows
    ]
    speed = {what: sum(r[3] for r in rows if r[1] == what) for what in ("alone", "watched")}
    table = "\n".join(["| " + " | ".join(HEAD) + " |", "| --- " * len(HEAD) + "|", *lines])
    return f"""# Training with `rl-slt watch` next to it

Made by `benchmarks/watch_share.py`: {steps} steps of `rl-slt train` (small network, stock CoinRun),
alone and with `rl-slt watch --share {share:g}` from the first checkpoint to the end, all pinned to
{CORES} cores. Python {platform.python_version()}, torch {version("torch")}.

{table}

Steps per second watched over alone: {speed["watched"] / speed["alone"]:.3f}. The share allows
{share:g} of one core, that is {share / CORES:g} of the machine; the start of the watch (its CPU
less that of the estimates) comes on top, once.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150_000)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    text = report(args.rounds, args.steps, args.share)
    publish(text, args.out)


if __name__ == "__main__":
    main()
