"""Kill every command and its workers at random moments, resume, and compare with undisturbed runs.

Each round takes the same commands through a fresh folder, from a study to a sheet of levels. A
command is killed several times (the command itself, or one of its workers), started again each
time, and at last left to finish. The moments are spread over the time that the command takes
undisturbed; one in three waits for a file to be under way. Then every table and file must equal
that of the undisturbed round but for times, no finished unit may have been written a second time,
a file that a command writes where it was told to must be absent or whole after each kill, and
nothing under a temporary name may be left.

    python benchmarks/pipeline_faults.py --kills 50 --minutes 20
"""

import argparse
import contextlib
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tiny_results import (
    COMMANDS,
    Unsound,
    check_file,
    check_status,
    compare,
    finish,
    last_words,
    leftovers,
    prepare,
    results,
    start,
    units,
    wait,
)

KILLS = {  # in one round
    "run": 4, "train": 3, "import": 1, "llc": 3, "calibrate": 2, "probe": 3, "watch": 2,
    "compare": 2, "report": 2, "validate": 1, "rollout": 1, "levels": 1,
}  # fmt: skip
FROM_START = {"import", "compare", "validate", "rollout", "levels"}  # begin again after a kill
AT_A_WRITE = 1 / 3
_PATIENCE = 2.0  # seconds to wait for a file to be under way
_BEFORE_THE_END = 0.95  # of its time: a command that is quicker than usual is missed
_INTERRUPTED = 130  # the status after Ctrl-C
_ATTEMPTS = 4  # for one kill, where the command ends before it


@dataclass
class Record:
    """What one kill did: `repeated` units were finished before it and written again after it."""

    round: int
    command: str
    victim: str
    signal: str
    moment: str
    after: float
    finished: dict[str, tuple[int, int]] = field(repr=False)
    repeated: int = 0


def victims(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a command: those that its forkserver has forked."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children()
        servers = [c for c in children if "forkserver" in " ".join(c.cmdline())]
        return [worker for server in servers for worker in server.children()]
    return []


def strike(
    process: subprocess.Popen[bytes], workers: list[psutil.Process], chance: random.Random
) -> tuple[str, str]:
    """Kill the command or one of its workers; says which, and with what."""
    which = chance.choices(
        [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], weights=[7, 2, 1]
    )[0]  # fmt: skip
    if workers and chance.random() < 0.45:
        with contextlib.suppress(psutil.NoSuchProcess):
            chance.choice(workers).send_signal(signal.SIGKILL)
        return "worker", "SIGKILL"
    process.send_signal(which)  # which does nothing where it ended by itself meanwhile
    return "command", which.name


def wait_for_a_write(process: subprocess.Popen[bytes], place: Path) -> bool:
    """Wait until a file is under way, for a while at most; whether one is."""
    before, until = set(leftovers(place)), time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if set(leftovers(place)) - before:
            return True
        time.sleep(0.001)
    return False


class Attack:
    """Kills one command of one round that many times, then lets it finish."""

    def __init__(
        self, place: Path, command: str, number: int, expected: dict[str, Any],
        usual: dict[str, float], chance: random.Random,
    ) -> None:  # fmt: skip
        self.place, self.command, self.number = place, command, number
        self.expected, self.chance = expected, chance
        self.usual, self.startup = usual[command], min(usual.values())
        self.records: list[Record] = []

    def carry_out(self, kills: int) -> list[Record]:
        """The kills, each with the finished units that were written again after it."""
        moments = self._moments(kills, self.usual)
        from_start, reached = self.command in FROM_START, 0.0
        for _ in range(_ATTEMPTS * kills):
            if not moments:
                break
            # What was reached need not be done again, but for the start of the program.
            skipped = 0.0 if from_start or not reached else reached - self.startup
            before, reached = len(self.records), moments[0]
            lasted = self._attempt([moment - skipped for moment in moments])
            del moments[: len(self.records) - before]
            if lasted is not None:  # it ended, and so it will again after as long
                moments, from_start = self._moments(len(moments), lasted), True
        finish(self.place, self.command)
        check_file(self.place, self.command, self.expected)
        after = units(self.place)
        for record in self.records:
            record.repeated = sum(after.get(k) != mark for k, mark in record.finished.items())
        return self.records

    def _moments(self, kills: int, seconds: float) -> list[float]:
        return sorted(self.chance.uniform(0, _BEFORE_THE_END * seconds) for _ in range(kills))

    def _attempt(self, moments: list[float]) -> float | None:
        """Start the command and strike at these seconds until it dies; its time if it ended."""
        begun = time.monotonic()
        with start(self.place, self.command) as process:
            for moment in moments:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, begun + moment - time.monotonic()))
                    break
                if self._strike(process, begun):
                    check_file(self.place, self.command, self.expected)
                    return None
            check_status(self.place, self.command, wait(process))
        return time.monotonic() - begun

    def _strike(self, process: subprocess.Popen[bytes], begun: float) -> bool:
        """Kill the command or a worker; whether the command died of it."""
        wanted = self.chance.random() < AT_A_WRITE
        moment = "a write" if wanted and wait_for_a_write(process, self.place) else "random"
        workers, finished = victims(process), units(self.place)
        victim, name = strike(process, workers, self.chance)
        after = time.monotonic() - begun
        if victim == "command":
            if not self._died(process, workers, name):
                return False
            finished = units(self.place)
        else:  # its neighbour may be at the same states, and will put them in the same place
            finished = {k: v for k, v in finished.items() if "parts/states/" not in k}
        record = Record(self.number, self.command, victim, name, moment, after, finished)
        self.records.append(record)
        return victim == "command"

    def _died(
        self, process: subprocess.Popen[bytes], workers: list[psutil.Process], name: str
    ) -> bool:
        """Whether the command died of a signal; its workers must go by themselves."""
        status = wait(process, 180)
        _, alive = psutil.wait_procs(workers, timeout=30)
        if status is None or alive:
            raise Unsound(
                f"{self.command} after {name}: status {status}, {len(alive)} of {len(workers)} "
                f"workers live on:\n{last_words(self.place)}"
            )
        return status < 0 or status == _INTERRUPTED


def share_out(kills: int, names: list[str], chance: random.Random) -> Counter[str]:
    """How often to kill each command in a round, in the proportions of `KILLS`."""
    places = [
        ((i + chance.random()) / KILLS[name], name) for name in names for i in range(KILLS[name])
    ]
    return Counter(name for _, name in sorted(places)[:kills])


def play(
    kills: int, minutes: float, names: list[str], seed: int, place: Path
) -> Iterator[dict[str, Any]]:
    """Rounds until there are enough kills; after each, what happened so far, for the table."""
    chance, begun = random.Random(seed), time.monotonic()
    reference = prepare(place / "undisturbed")
    usual = {name: finish(reference, name) for name in names}
    expected = results(reference)
    print("undisturbed:", {k: f"{v:.0f} s" for k, v in usual.items()}, flush=True)
    records: list[Record] = []
    number = 0
    while len(records) < kills and time.monotonic() - begun < 60 * minutes:
        number += 1
        folder = prepare(place / f"round-{number}")
        wanted = share_out(kills - len(records), names, chance)
        for name in names:
            attack = Attack(folder, name, number, expected, usual, chance)
            records += attack.carry_out(wanted[name])
        compare(expected, results(folder))
        if left := leftovers(folder):
            raise Unsound(f"{len(left)} temporary files stayed: {left[0]}")
        shutil.rmtree(folder)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # without workers that were orphaned
        yield {
            "wanted": kills, "seed": seed, "records": records, "rounds": number,
            "results": len(expected), "usual": usual, "seconds": time.monotonic() - begun,
            "cpu": used.ru_utime + used.ru_stime, "load": os.getloadavg()[2],
        }  # fmt: skip


def report(found: dict[str, Any]) -> str:
    """The table, as Markdown."""
    records: list[Record] = found["records"]
    counts = Counter((r.command, r.victim, r.signal) for r in records)
    lines = [
        "# Kills at random moments",
        "",
        f"`python benchmarks/pipeline_faults.py --kills {found['wanted']}` (seed {found['seed']}) "
        f"on {os.cpu_count()} cores, Python {platform.python_version()}: {len(records)} kills in "
        f"{found['rounds']} rounds, {found['seconds']:.0f} s in all with the undisturbed round "
        f"(load of the machine in the last 15 minutes {found['load']:.1f}; processor time of the "
        f"commands at least {found['cpu']:.0f} s); "
        f"{sum(r.moment == 'a write' for r in records)} of them while a file was being written.",
        "",
        f"After resuming, the {found['results']} tables and files of each round equalled the "
        f"undisturbed ones but for times; {sum(r.repeated for r in records)} finished units were "
        "written again; files that were asked for were absent or whole after each kill; nothing "
        "under a temporary name was left.",
        "",
        "| command | undisturbed, s | kills | of the command by | of a worker |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, seconds in found["usual"].items():
        own = {s: n for (c, v, s), n in sorted(counts.items()) if (c, v) == (name, "command")}
        said = ", ".join(f"{signal} {n}" for signal, n in own.items())
        workers = counts[name, "worker", "SIGKILL"]
        total = sum(own.values()) + workers
        lines.append(f"| {name} | {seconds:.1f} | {total} | {said} | {workers or ''} |")
    lines += [
        "",
        "| # | round | command | killed | signal | at | after, s | finished units | repeated |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {i} | {r.round} | {r.command} | {r.victim} | {r.signal} | {r.moment} | {r.after:.1f} | "
        f"{len(r.finished)} | {r.repeated} |"
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
    # A shell makes its background jobs, and all that they start, deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    done = repeated = 0
    try:
        with tempfile.TemporaryDirectory() as place:
            for found in play(args.kills, args.minutes, args.only, seed, Path(place)):
                done, repeated = len(found["records"]), sum(r.repeated for r in found["records"])
                print(f"{done} kills, results equal, {repeated} units repeated", flush=True)
                if args.out is not None:
                    args.out.write_text(report(found))
    except Unsound as broken:
        print(f"seed {seed}: {broken}", file=sys.stderr)
        return 1
    print(report(found))
    return int(done < args.kills or repeated > 0)


if __name__ == "__main__":
    sys.exit(main())
