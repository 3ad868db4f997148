"""What changes on disk."""

from pathlib import Path


def marks(place: Path) -> dict[str, tuple[int, int, int]]:
    """What changes when anything below the folder is written, made or deleted."""
    found = {}
    for path in place.rglob("*"):
        stat = path.lstat()
        found[str(path)] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found
