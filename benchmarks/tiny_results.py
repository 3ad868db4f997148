"""Every command that writes, on a tiny study, and what of its results must always be the same."""

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

STUDY = Path(__file__).parent / "tiny.toml"
PROGRAM = [sys.executable, "-c", "from rl_slt.cli import main; main()"]
_SAMPLING = (
    "--sampler baoab --preconditioner-rank 0 --chains 2 --draws 8 --burn-in 4 --batch-size 16"
)
COMMANDS = {  # in an order in which each finds what it needs
    "run": "run tiny.toml --out study --workers 2",
    "train": (
        "train alone --coin end --steps 512 --network small --levels 0:1000 --set num_envs=8 "
        "--set n_steps=32 --set batch_size=64 --set time_limit=50 --set checkpoints=log:3 --resume"
    ),
    "import": (
        "import alone/checkpoints/000000000512/policy.safetensors theirs --coin end --levels 0:1000"
    ),
    "llc": f"llc alone {_SAMPLING} --n-states 64 --workers 2",
    "calibrate": (f"calibrate alone {_SAMPLING} --n-states 48 --localizations 100,300 --workers 2"),
    "probe": "probe alone --suite demo --levels 2 --workers 2",
    "watch": "watch alone --once --share 1",
    "compare": (
        "compare alone alone --step-a 0 --coin end --n-states 48 --points 3 --episodes 2 "
        "--clips 1 --out ab.html"
    ),
    "report": "report study alone --out both.html",
    "validate": "validate --quick --out known.csv",
    "rollout": "rollout alone --coin behind --out clip.gif",
    "levels": "levels --coin behind --seeds 0:6 --out sheet.png",
}
FILES = {  # commands that write one file where they were told to
    "compare": "ab.html",
    "report": "both.html",
    "validate": "known.csv",
    "rollout": "clip.gif",
    "levels": "sheet.png",
}
_FINE = {"calibrate": (0, 1)}  # 1: of so few draws no setting is sound
_TIMES = {"seconds", "created", "time", "cpu_seconds"}
_RUNS = ("study/runs/*", "alone", "theirs")
_OF_RUN = (
    "tables/*", "calibration/*.parquet", "calibration/*.json", "comparisons/*/*", "clips/*",
    "checkpoints/*/policy.safetensors", "progress.csv", "watch.jsonl",
)  # fmt: skip
_ITEMS = ("parts/*/*", "clips/item.json", "comparisons/*/comparison.json")
_PASSING = "parts/baseline_parts/"  # joined into one item, then removed


class Unsound(Exception):
    """A promise was broken."""


def prepare(place: Path) -> Path:
    """A new folder for a round."""
    place.mkdir(parents=True)
    shutil.copy(STUDY, place)
    return place


def start(place: Path, command: str) -> subprocess.Popen[bytes]:
    log = (place / "log.txt").open("ab")
    argv = [*PROGRAM, *COMMANDS[command].split()]
    return subprocess.Popen(argv, cwd=place, stdout=log, stderr=log)


def wait(process: subprocess.Popen[bytes], seconds: int = 600) -> int | None:
    """The status with which the command ended; None, and it is killed, if it did not end so soon.

    Seconds in which this script itself was stopped do not count.
    """
    for _ in range(seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)
    process.kill()
    return None


def finish(place: Path, command: str) -> float:
    """Run the command to its end; the time it took."""
    begun = time.monotonic()
    with start(place, command) as process:
        check_status(place, command, wait(process))
    return time.monotonic() - begun


def check_status(place: Path, command: str, status: int | None) -> None:
    """Raise Unsound if a command that was left alone failed."""
    if status not in _FINE.get(command, (0,)):
        raise Unsound(f"{command} ended with status {status}:\n{last_words(place)}")


def last_words(place: Path) -> str:
    """The end of what the commands of a round said."""
    return (place / "log.txt").read_text(errors="replace")[-2000:]


def units(place: Path) -> dict[str, tuple[int, int]]:
    """Finished units, with what changes when one is written again."""
    kept = {}
    for run in (path for pattern in _RUNS for path in place.glob(pattern)):
        found = [path for pattern in _ITEMS for path in run.glob(pattern)]
        index = run / "checkpoints" / "index.json"
        if index.exists() and '"finished": true' in index.read_text():
            found += run.glob("checkpoints/[0-9]*")  # none is written again after the end
        for path in found:
            with contextlib.suppress(FileNotFoundError):  # a temporary one that just got its name
                if not any(part.startswith(".") for part in path.relative_to(place).parts):
                    stat = path.stat()
                    kept[str(path.relative_to(place))] = (stat.st_ino, stat.st_mtime_ns)
    return {name: mark for name, mark in kept.items() if _PASSING not in name}


def results(place: Path) -> dict[str, Any]:
    """All that must be as undisturbed: tables and events without their times, files by hash."""
    patterns = ["study/tables/*", *(f"{run}/{path}" for run in _RUNS for path in _OF_RUN)]
    names = [name for name in FILES.values() if not name.endswith(".html")]
    found = {path for pattern in (*patterns, *names) for path in place.glob(pattern)}
    return {str(path.relative_to(place)): read(path) for path in sorted(found)}


def read(path: Path) -> Any:
    """What a file says, without times."""
    if path.suffix in (".parquet", ".csv"):
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    elif path.suffix == ".jsonl":
        events = [json.loads(line) for line in path.read_text().splitlines()]
        frame = pd.DataFrame([event for event in events if event["event"] != "end"])
    else:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return frame.drop(columns=[c for c in frame if c in _TIMES])


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raise Unsound where results differ."""
    if [*ours] != [*theirs]:
        raise Unsound(f"there are other results: {sorted(set(ours) ^ set(theirs))}")
    for name, value in ours.items():
        try:
            if isinstance(value, pd.DataFrame):
                pd.testing.assert_frame_equal(value, theirs[name])
            else:
                assert value == theirs[name], "other bytes"
        except AssertionError as error:
            raise Unsound(f"{name} differs from the undisturbed one:\n{error}") from None


def check_file(place: Path, command: str, expected: dict[str, Any]) -> None:
    """Raise Unsound if the one file that the command writes is there and not whole."""
    path = place / FILES.get(command, "no such file")
    if not path.exists():
        return
    if path.suffix == ".html":
        if not path.read_text().rstrip().endswith("</html>"):
            raise Unsound(f"{path.name} is half a page")
        return
    compare({path.name: read(path)}, {path.name: expected[path.name]})


def leftovers(place: Path) -> list[Path]:
    """Files and folders under temporary names."""
    return list(place.rglob(".tmp-*"))
