"""Files that are whole or absent: written under a temporary name, synced, renamed."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rl_slt import InputError

TEMPORARY = ".tmp-"
"""What names of files and folders that are being written begin with."""
_LEFTOVER = re.compile(
    r"\.tmp-(?P<meant>.+)-(?P<place>[0-9a-f]{8})\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{12}", re.DOTALL
)
_STALE = 7 * 86400  # seconds after which what a process elsewhere began is given up


def _where() -> str:
    """A hash of where a process id means one process: this boot of this machine, this container."""
    known = [socket.gethostname()]
    with contextlib.suppress(OSError):  # systems without /proc have no containers either
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


_HERE = _where()


def temporary_beside(path: Path) -> Path:
    """A new name in the folder of `path`, by which `remove_leftovers` knows its owner."""
    owner = f"{_HERE}.{os.getpid()}.{uuid.uuid4().hex[:12]}"
    return path.with_name(f"{TEMPORARY}{path.name}-{owner}")


@contextlib.contextmanager
def _making(path: Path) -> Iterator[None]:
    """Say so where the system makes nothing in a folder that is there, as in /proc."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: must be a place where files can be made") from error


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in, where they are not there yet.

    Args:
        path: of the folder.

    Raises:
        InputError: the system makes none there, as in /proc; OSError where it says why.
    """
    with _making(path):
        path.mkdir(parents=True, exist_ok=True)


def write_atomic(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file, then rename it to `path`: readers see all or nothing.

    What killed writers of the same file left next to it is removed.

    Args:
        path: the file; its folder is made where there is none.
        writer: writes the file whose path it is given.
    """
    make_folder(path.parent)
    remove_leftovers(path.parent, path.name)
    temporary = temporary_beside(path)
    with _making(path):
        temporary.touch()
    try:
        writer(temporary)
        _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically.

    Args:
        path: of the file.
        data: all that it holds.
    """
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def json_bytes(obj: Any) -> bytes:
    """`obj` as strict, indented JSON; NaN and infinities raise ValueError."""
    return (json.dumps(obj, indent=1, allow_nan=False) + "\n").encode()


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as strict JSON to `path` atomically.

    Args:
        path: of the file.
        obj: of JSON's types; NaN is refused.
    """
    write_bytes(path, json_bytes(obj))


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: of the file.

    Raises:
        InputError: no such file, no JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, not a JSON object")
    return value


@contextlib.contextmanager
def atomic_dir(final: Path) -> Iterator[Path]:
    """An empty folder to fill, which is renamed to `final` when the block ends without an error.

    What stood there is replaced. A folder cannot be replaced in one step: killed in between,
    neither name is left, and the caller's redo writes it again.

    Args:
        final: where the folder is to stand.
    """
    make_folder(final.parent)
    temporary = temporary_beside(final)
    with _making(final):
        temporary.mkdir()
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _sync(path)
        old = temporary_beside(final)
        if final.exists():
            os.replace(final, old)
        os.replace(temporary, final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(final.parent)


def remove_dir(folder: Path) -> None:
    """Delete `folder` with all it holds; renamed first, so that no half of it looks whole."""
    renamed = temporary_beside(folder)
    os.replace(folder, renamed)
    shutil.rmtree(renamed)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left directly in `folder`, whoever else writes there now.

    What began on another machine or in another container, whose processes cannot be seen from here,
    stays until nothing was done to it for a week.

    Args:
        folder: where to look.
        name: only what was to become this file or folder; None is all.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        known = _LEFTOVER.fullmatch(path.name)
        if known and name in (None, known["meant"]) and _is_leftover(path, known):
            with contextlib.suppress(OSError):
                path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)


def _is_leftover(path: Path, known: re.Match[str]) -> bool:
    if known["place"] == _HERE:
        return not _is_alive(int(known["pid"]))
    with contextlib.suppress(OSError):  # gone meanwhile
        return time.time() - path.lstat().st_mtime > _STALE
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, and is another user's
        pass
    return True


def _sync(path: Path) -> None:
    """Ask the disk to keep `path`; folders cannot be synced everywhere."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
