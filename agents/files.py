"""Files that are whole or absent: written beside under a temporary name, synced, renamed."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"


def temporary_beside(path: Path) -> Path:
    """A fresh name in the folder of `path` that `clean_temporary` recognises."""
    return path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}")


def write_atomic(path: Path, writer: Callable[[Path], None]) -> None:
    """Let `writer` fill a temporary file, then rename it to `path`: readers see all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        writer(temporary)
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""

    def writer(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(path, writer)


def json_bytes(obj: Any) -> bytes:
    """`obj` as strict, indented JSON; NaN and infinities raise ValueError."""
    return (json.dumps(obj, indent=1, allow_nan=False) + "\n").encode()


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as strict JSON to `path` atomically."""
    write_bytes(path, json_bytes(obj))


def new_dir(final: Path) -> Path:
    """Make an empty temporary folder beside `final`, to be filled and given to `publish_dir`."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(final)
    temporary.mkdir()
    return temporary


def publish_dir(temporary: Path, final: Path) -> None:
    """Sync the folder `temporary` and rename it to `final`, replacing what stood there.

    A folder cannot be replaced in one step: killed in between, neither name is left, and the
    caller's redo writes it again. `temporary` must lie in the folder of `final`.
    """
    for path in temporary.rglob("*"):
        _sync(path)
    _sync(temporary)
    if final.exists():
        old = temporary_beside(final)
        os.replace(final, old)
        os.replace(temporary, final)
        shutil.rmtree(old)
    else:
        os.replace(temporary, final)
    _sync(final.parent)


def remove_dir(folder: Path) -> None:
    """Delete `folder` with all it holds; renamed first, so that no half of it looks whole."""
    dead = temporary_beside(folder)
    os.replace(folder, dead)
    shutil.rmtree(dead)


def clean_temporary(folder: Path) -> None:
    """Remove what a killed process left under temporary names directly in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Ask the disk to keep `path`; folders cannot be synced everywhere."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
