"""Files are whole or absent, whatever happens while they are written."""

import json
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
        temporary = files.new_dir(final)
        assert temporary.parent == final.parent and temporary.name.startswith(files.TEMPORARY)
        (temporary / "x").write_text(text)
        files.publish_dir(temporary, final)
    assert (final / "x").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == [final.name]


def test_clean_removes_only_temporary_names(tmp_path: Path) -> None:
    files.new_dir(tmp_path / "x")
    files.temporary_beside(tmp_path / "y").write_text("half")
    (tmp_path / "kept").write_text("")
    files.clean_temporary(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
