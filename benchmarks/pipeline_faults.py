"""Kill every command and its workers at random moments, resume, and compare with undisturbed runs.

Each round takes the same commands through a fresh folder: a study, a training, its LLCs, a
calibration, its probes and a report. A command is killed several times (the command itself, or one
of its workers), started again each time, and at last left to finish. Then every table must equal
that of the undisturbed round but for times, and no finished unit may have been written a second
time.

    python benchmarks/pipeline_faults.py --kills 50 --minutes 20
"""

import argparse
import contextlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

TINY = """
question = "Does it bear kills?"
[train]
levels = [0, 1000]
network = "small"
steps = 512
num_envs = 8
n_steps = 32
batch_size = 64
time_limit = 50
checkpoints = "log:3"
settings = { pits = false, crates = false, steps = false, backgrounds = false, monochrome = true }
[arms.end]
coin = "end"
[arms.behind]
coin = "mix:0.5:behind:end"
[llc]
sampler = "baoab"
whitening = 0
n_states = 64
chains = 2
draws = 8
burn_in = 4
batch_size = 16
[probe]
suite = "demo"
levels = 2
"""
TRAIN = (
    "train alone --coin end --steps 512 --network small --levels 0:1000 --set num_envs=8 "
    "--set n_steps=32 --set batch_size=64 --set time_limit=50 --set checkpoints=log:3 --resume"
)
LLC = (
    "llc alone --sampler baoab --whitening 0 --n-states 64 --chains 2 --draws 8 --burn-in 4 "
    "--batch-size 16 --workers 2"
)
CALIBRATE = (
    "calibrate alone --sampler baoab --whitening 0 --n-states 48 --chains 2 --draws 8 --burn-in 4 "
    "--batch-size 16 --localizations 100,300 --workers 2"
)
COMMANDS = {
    "run": "run tiny.toml --out study --workers 2",
    "train": TRAIN,
    "llc": LLC,
    "calibrate": CALIBRATE,
    "probe": "probe alone --suite demo --levels 2 --workers 2",
    "report": "report study alone --out both.html",
}
KILLS = {  # at most, in one round
    "run": 6, "train": 4, "llc": 4, "calibrate": 3, "probe": 4, "report": 2,
}  # fmt: skip
FINE = {"calibrate": (0, 1)}  # 1: of so few draws no setting is sound
TIMES = {"seconds", "created"}
PROGRAM = [sys.executable, "-c", "from rl_slt.cli import main; main()"]


@dataclass
class Record:
    """What one kill did: `repeated` units were finished before it and written again after it."""

    round: int
    command: str
    victim: str
    signal: str
    after: float
    finished: int
    repeated: list[str] = field(default_factory=list)


class Unsound(Exception):
    """A promise was broken."""


def start(place: Path, command: str) -> subprocess.Popen[bytes]:
    log = (place / "log.txt").open("ab")
    return subprocess.Popen(
        [*PROGRAM, *COMMANDS[command].split()], cwd=place, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def finish(place: Path, command: str, seconds: float = 600) -> float:
    """Run the command to its end; the time it took."""
    begun = time.monotonic()
    with start(place, command) as process:
        if process.wait(seconds) not in FINE.get(command, (0,)):
            tail = (place / "log.txt").read_text(errors="replace")[-2000:]
            raise Unsound(f"{command} ended with status {process.returncode}:\n{tail}")
    return time.monotonic() - begun


def units(place: Path) -> dict[str, tuple[int, int]]:
    """Finished units with what changes when one is written again."""
    kinds = ("parts/*/*", "clips/unit.json")
    runs = [*place.glob("study/runs/*"), place / "alone"]
    found = [p for run in runs for kind in kinds for p in run.glob(kind)]
    for run in runs:  # a finished training writes no checkpoint again
        index = run / "checkpoints" / "index.json"
        if index.exists() and '"finished": true' in index.read_text():
            found += run.glob("checkpoints/[0-9]*")
    kept = {}
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # a temporary one that just got its name
            if not path.name.startswith("."):
                stat = path.stat()
                kept[str(path.relative_to(place))] = (stat.st_ino, stat.st_mtime_ns)
    return kept


def tables(place: Path) -> dict[str, pd.DataFrame]:
    found = [*place.glob("study/tables/*"), *place.glob("study/runs/*/tables/*")]
    found += [*place.glob("alone/tables/*"), *place.glob("alone/calibration/*.parquet")]
    frames = {str(p.relative_to(place)): pd.read_parquet(p) for p in sorted(found)}
    return {
        name: frame.drop(columns=[c for c in frame if c in TIMES]) for name, frame in frames.items()
    }


def compare(ours: dict[str, pd.DataFrame], theirs: dict[str, pd.DataFrame]) -> None:
    if [*ours] != [*theirs]:
        raise Unsound(f"tables differ: {sorted(set(ours) ^ set(theirs))}")
    for name, frame in ours.items():
        try:
            pd.testing.assert_frame_equal(frame, theirs[name])
        except AssertionError as error:
            raise Unsound(f"{name} differs from the undisturbed one:\n{error}") from None


def victims(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a command."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        return [c for c in children if "spawn_main" in " ".join(c.cmdline())]
    return []


def strike(process: subprocess.Popen[bytes], chance: random.Random) -> tuple[str, str]:
    """Kill the command or one of its workers; says which, and with what."""
    workers = victims(process)
    which = chance.choices(
        [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], weights=[7, 2, 1]
    )[0]  # fmt: skip
    if workers and chance.random() < 0.45:
        with contextlib.suppress(psutil.NoSuchProcess):
            chance.choice(workers).send_signal(signal.SIGKILL)
        return "worker", "SIGKILL"
    os.kill(process.pid, which)
    return "command", which.name


def wait_for_all(process: subprocess.Popen[bytes], workers: list[psutil.Process]) -> None:
    """After the death of a command, its workers must go by themselves."""
    try:
        process.wait(180)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Unsound("the command did not end") from None
    _, alive = psutil.wait_procs(workers, timeout=30)
    if alive:
        raise Unsound(f"{len(alive)} workers live on without their command")


def disturb(
    place: Path, command: str, number: int, kills: int, usual: float, chance: random.Random
) -> list[Record]:
    """Kill the command `kills` times at most, then let it finish."""
    records: list[Record] = []
    while len(records) < kills:
        with start(place, command) as process:
            begun, died = time.monotonic(), False
            while len(records) < kills and not died:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(0.05, 0.7) * usual)
                    break
                before, workers = units(place), victims(process)
                victim, name = strike(process, chance)
                if victim == "command":
                    wait_for_all(process, workers)
                    died = True
                record = Record(
                    number, command, victim, name, time.monotonic() - begun, len(before)
                )
                records.append(record)
                _look_back(place, record, before)
            else:
                if not died:
                    process.wait(600)
                continue
        break  # it finished before the next kill
    before = units(place)
    finish(place, command)
    for record in records:
        _look_back(place, record, before)
    return records


def _look_back(place: Path, record: Record, before: dict[str, tuple[int, int]]) -> None:
    after = units(place)
    record.repeated += [name for name, mark in before.items() if after.get(name) != mark]


def play(kills: int, minutes: float, names: list[str], seed: int, place: Path) -> dict[str, object]:
    """All rounds; what happened, for the table."""
    chance, begun = random.Random(seed), time.monotonic()
    reference = place / "undisturbed"
    reference.mkdir(parents=True)
    (reference / "tiny.toml").write_text(TINY)
    usual = {name: finish(reference, name) for name in names}
    expected = tables(reference)
    print("undisturbed:", {k: f"{v:.0f} s" for k, v in usual.items()}, flush=True)
    records: list[Record] = []
    number = 0
    while len(records) < kills and time.monotonic() - begun < 60 * minutes:
        number += 1
        folder = place / f"round-{number}"
        folder.mkdir()
        (folder / "tiny.toml").write_text(TINY)
        for name in names:
            allowed = min(KILLS[name], kills - len(records))
            records += disturb(folder, name, number, allowed, usual[name], chance)
        compare(expected, tables(folder))
        repeated = sum(len(r.repeated) for r in records)
        print(f"round {number}: {len(records)} kills, tables equal, {repeated} units repeated",
              flush=True)  # fmt: skip
        shutil.rmtree(folder)
    spent = time.monotonic() - begun
    return {"records": records, "rounds": number, "seconds": spent, "tables": len(expected)}


def report(found: dict[str, object], seed: int) -> str:
    records: list[Record] = found["records"]  # type: ignore[assignment]
    counts = Counter((r.command, r.victim, r.signal) for r in records)
    repeated = sum(len(r.repeated) for r in records)
    lines = [
        "# Kills at random moments",
        "",
        f"`python benchmarks/pipeline_faults.py --kills {len(records)}` (seed {seed}) on "
        f"{os.cpu_count()} cores, Python {platform.python_version()}: {len(records)} kills in "
        f"{found['rounds']} rounds, {found['seconds']:.0f} s in all with the undisturbed round.",
        "",
        f"After resuming, the {found['tables']} tables of each round equalled the undisturbed "
        f"ones but for times; {repeated} finished units were written again.",
        "",
        "| command | killed | signal | kills |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {c} | {v} | {s} | {n} |" for (c, v, s), n in sorted(counts.items())]
    lines += [
        "",
        "| # | round | command | killed | signal | after, s | finished units | repeated |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {i} | {r.round} | {r.command} | {r.victim} | {r.signal} | {r.after:.1f} | "
        f"{r.finished} | {len(r.repeated)} |"
        for i, r in enumerate(records, start=1)
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", nargs="*", default=[*COMMANDS], choices=[*COMMANDS])
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, help="also write the table here")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    with tempfile.TemporaryDirectory() as place:
        try:
            found = play(args.kills, args.minutes, args.only, seed, Path(place))
        except Unsound as broken:
            print(f"seed {seed}: {broken}", file=sys.stderr)
            return 1
    text = report(found, seed)
    if args.out is not None:
        args.out.write_text(text)
    print(text)
    records: list[Record] = found["records"]  # type: ignore[assignment]
    return int(len(records) < args.kills or any(r.repeated for r in records))


if __name__ == "__main__":
    sys.exit(main())
