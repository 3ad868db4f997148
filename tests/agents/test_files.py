"""Files are whole or absent, whatever happens while they are written."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents import files


def test_a_failing_writer_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    files.write_json(target, {"a": 1})

    def broken(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        files.write_atomic(target, broken)
    assert json.loads(target.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_publish_replaces_a_folder(tmp_path: Path) -> None:
    final = tmp_path / "000000000123"
    for text in ("one", "two"):
        with files.atomic_dir(final) as temporary:
            assert temporary.parent == final.parent and temporary.name.startswith(files.TEMPORARY)
            (temporary / "x").write_text(text)
    with pytest.raises(RuntimeError), files.atomic_dir(final) as temporary:
        (temporary / "x").write_text("half")
        raise RuntimeError("disk full")
    assert (final / "x").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == [final.name]


def leftovers(folder: Path, *names: str) -> None:
    """What a process that dies in the middle of its writing leaves."""
    code = "import os, sys; from pathlib import Path; from agents import files\n"
    code += "for name in sys.argv[1:]: files.temporary_beside(Path(name)).write_text('half')\n"
    code += "files.temporary_beside(Path(sys.argv[1])).mkdir(); os._exit(9)"
    paths = [str(folder / name) for name in names]
    assert subprocess.run([sys.executable, "-c", code, *paths]).returncode == 9


def test_leftovers_of_the_dead_go_and_work_under_way_stays(tmp_path: Path) -> None:
    leftovers(tmp_path, "x", "y-z", "[y]")
    mine = files.temporary_beside(tmp_path / "x")
    mine.mkdir()
    (tmp_path / ".tmp-odd").write_text("another program's")
    assert len(list(tmp_path.iterdir())) == 6
    files.remove_leftovers(tmp_path, "[y]")
    files.remove_leftovers(tmp_path, "y")  # names that only begin alike stay
    assert len(list(tmp_path.glob(".tmp-y-z*"))) == 1 and len(list(tmp_path.iterdir())) == 5
    files.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, tmp_path / ".tmp-odd"])


def test_what_began_elsewhere_stays_until_it_is_old(tmp_path: Path) -> None:
    leftovers(tmp_path, "x")
    here = [*tmp_path.iterdir()]
    for path in here:  # its process id may be taken by a living process of the other machine
        path.rename(path.with_name(path.name.replace(files._HERE, "0" * 8)))
    elsewhere = sorted(tmp_path.iterdir())
    files.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == elsewhere
    for path, days in zip(elsewhere, (6, 8), strict=True):
        os.utime(path, (0, time.time() - days * 86400))
    files.remove_leftovers(tmp_path)
    assert [*tmp_path.iterdir()] == elsewhere[:1]


def test_a_file_that_is_written_again_clears_what_its_killed_writers_left(tmp_path: Path) -> None:
    leftovers(tmp_path, "a.json", "b.json")
    files.write_json(tmp_path / "a.json", {})
    left = {p.name.split("-")[1] for p in tmp_path.iterdir() if p.name.startswith(".tmp-")}
    assert (tmp_path / "a.json").exists() and left == {"b.json"}
