"""One writer for a stage of a run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from agents import Run, make_folder
from rl_slt.errors import InputError

_PATIENCE = 0.3  # seconds: `rl-slt status` holds a lock for a moment when it asks for its holder


@contextlib.contextmanager
def stage_lock(folder: Path, stage: str) -> Iterator[None]:
    """Hold the stage of this run or study; the lock goes with its process, however that ends.

    Args:
        folder: of the run or study.
        stage: name of the stage.

    Raises:
        InputError: another process holds it; the line names that process.
    """
    lock = wait_for_lock(folder, stage)
    owner = Path(lock.lock_file).with_suffix(".json")
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
    except Timeout:
        raise InputError(
            f"another rl-slt works on {stage!r} of {folder} ({_describe(owner)}); "
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


def wait_for_lock(folder: Path, stage: str) -> FileLock:
    """The lock of a stage of this run or study; `with` waits until it is free."""
    make_folder(folder / ".locks")
    return FileLock(folder / ".locks" / f"{stage}.lock")


def lock_holder(folder: Path, stage: str) -> str | None:
    """Which process holds the stage now, and since when; None where it is free."""
    path = folder / ".locks" / f"{stage}.lock"
    return _describe(path.with_suffix(".json")) if is_held(path) else None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file; asking holds it for a moment."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False


def _describe(owner: Path) -> str:
    try:
        known = json.loads(owner.read_text())
        return f"process {known['pid']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "process unknown"
