"""One writer for a stage of a run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from rl_slt.errors import InputError
from rl_slt.pipeline.disk.layout import Run

_PATIENCE = 0.3  # seconds: `rl-slt status` holds a lock for a moment when it looks


@contextlib.contextmanager
def stage_lock(folder: Path, stage: str) -> Iterator[None]:
    """Hold the stage of this run or study; the lock goes with its process, however that ends.

    Raises:
        InputError: if another process holds it; the line names that process.
    """
    folder = folder / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / f"{stage}.json"
    lock = FileLock(folder / f"{stage}.lock")
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
    except Timeout:
        raise InputError(
            f"another rl-slt works on {stage!r} of {folder.parent} ({_describe(owner)}); "
            "wait for it or stop it, then give the same command again"
        ) from None
    try:
        with contextlib.suppress(OSError):  # a full disk; the lock holds without the name
            owner.write_text(json.dumps({"pid": os.getpid(), "since": time.strftime("%F %T")}))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def stage_locks(runs: Sequence[Run], stage: str) -> Iterator[None]:
    """Hold the stage of every one of these runs, or of none."""
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(stage_lock(run.path, stage))
        yield


@contextlib.contextmanager
def turn(folder: Path, stage: str) -> Iterator[None]:
    """Wait for one's turn at a short stage of this run or study."""
    (folder / ".locks").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".locks" / f"{stage}.lock"):
        yield


def _describe(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text())
        return f"process {known['pid']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"


def holder(folder: Path, stage: str) -> str | None:
    """Who holds the stage now, in words; None where it is free."""
    path = folder / ".locks" / f"{stage}.lock"
    return _describe(path.with_suffix(".json")) if is_held(path) else None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file; looking holds it for a moment."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False
    lock.release()
    return False
