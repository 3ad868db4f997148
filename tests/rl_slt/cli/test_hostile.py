"""What strangers may put into checkpoints, tables and folders runs no code and reaches nothing."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from agents.checkpoints import HEADER
from analysis import schema
from rl_slt.cli import main
from rl_slt.pipeline.disk.layout import Run
from rl_slt.pipeline.disk.store import write_table
from tests.rl_slt.cli.conftest import FORGED, HEADERS, forge, sound_run
from tests.rl_slt.disk import marks

OPTIONS = [
    "--workers", "0", "--states", "frozen", "--n-states", "48", "--chains", "2", "--draws", "8",
    "--burn-in", "4", "--batch-size", "16", "--sampler", "baoab", "--preconditioner-rank", "0",
]  # fmt: skip
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main([str(part) for part in argv])
    return int(end.value.code or 0), capsys.readouterr().err


HOSTILE = ["pickled", "huge-header", "wide-tensor", "network-path", "network-wide", "actions-many"]


def test_hostile_checkpoints_cost_their_own_units(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = dict(enumerate(HOSTILE, 1))
    sound_run(Path("theirs"), (0, *steps))
    for step, name in steps.items():
        checkpoint = Path("theirs", "checkpoints", f"{step:012d}")
        if name in FORGED:
            forge(checkpoint, FORGED[name][0], **FORGED[name][1])
        else:
            known = json.loads((checkpoint / HEADER).read_text())
            (checkpoint / HEADER).write_text(json.dumps(known | HEADERS[name]))
    status, err = run(capsys, "llc", "theirs", *OPTIONS)
    failed = [line for line in err.splitlines() if "failed: " in line and "rl-slt" in line]
    assert status == 1 and len(failed) == len(HOSTILE), err
    assert all(f"step {step} " in line for step, line in zip(steps, failed, strict=True))
    assert "Traceback" not in err
    assert pd.read_parquet("theirs/tables/llc.parquet")["step"].tolist() == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["theirs"]


def test_an_index_of_paths_reaches_nothing(
    mistakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "theirs"
    shutil.copytree(mistakes / "good", place)
    index = {"format": 1, "steps": ["../../../other", -1], "finished": True}
    (place / "checkpoints" / "index.json").write_text(json.dumps(index))
    status, err = run(capsys, "rollout", place, "--step", "7", "--out", tmp_path / "x.gif")
    assert status == 2 and "it has: 0, 1024" in err


LED_OUT = [
    ("tables", "llc"), ("parts", "llc"), ("clips", "llc"), (".locks", "llc"), ("parts/llc", "llc"),
    (".locks/llc.json", "llc"), (".locks/llc.lock", "llc"), ("watch.jsonl", "watch"),
    ("calibration", "calibrate"), ("failed", "probe"),
    ("comparisons", "compare --step-a 0 --out x.html"),
]  # fmt: skip


@pytest.mark.parametrize("of_study", [False, True])
@pytest.mark.parametrize(("part", "command"), LED_OUT)
def test_links_that_lead_out_of_a_run_are_not_written_through(
    mistakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, command: str,
    of_study: bool,
) -> None:  # fmt: skip
    """The run is named itself, or is one of a study's, which for some commands is refused."""
    given = place = tmp_path / "theirs"
    if of_study:
        shutil.copytree(mistakes / "study-empty", given)
        place = given / "runs" / "a-s0"
    shutil.copytree(mistakes / "good", place)
    mine = tmp_path / "mine"
    mine.mkdir()
    if "." in part[1:]:
        mine = mine / "file"
        mine.write_text("mine")
    (place / part).parent.mkdir(exist_ok=True)
    (place / part).symlink_to(mine)
    before = marks(tmp_path)
    name, *more = command.split()
    paths = [given, given] if name == "compare" else [given]
    status, err = run(capsys, name, *paths, *more)
    assert status == 2 and "leads out of" in err and err.count("\n") == 1
    assert marks(tmp_path) == before


def test_a_run_of_a_study_may_not_be_a_link_to_elsewhere(
    mistakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = shutil.copytree(mistakes / "good", tmp_path / "mine")
    shutil.copytree(mistakes / "study-empty", tmp_path / "theirs")
    (tmp_path / "theirs" / "runs").mkdir()
    (tmp_path / "theirs" / "runs" / "a-s0").symlink_to(mine)
    status, err = run(capsys, "llc", tmp_path / "theirs", *OPTIONS)
    assert status == 2 and "leads out of" in err
    assert not (mine / "parts").exists()


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_a_damaged_table_is_told_of_in_the_report_and_nothing_is_computed(
    mistakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    place = shutil.copytree(mistakes / "good", tmp_path / "mine")
    (place / "tables").mkdir()
    (place / "tables" / "llc.parquet").write_text("<html>")
    before = {path for path in place.rglob("*") if path.is_file()}
    out = tmp_path / "page"
    status, err = run(capsys, "report", place, "--out", out, "--format", form)
    assert status == 0
    assert "llc.parquet is not a readable table" in err and err.count("\n") == 1
    assert "llc.parquet cannot be read" in out.read_text()
    after = {path for path in place.rglob("*") if path.is_file()}
    assert {path.name for path in after - before} <= {"analyse.lock"}


def test_the_report_escapes_what_tables_and_settings_say(
    mistakes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(mistakes / "good", tmp_path / "theirs")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"arm": EVIL, "command": [EVIL]}))
    text = {name: EVIL for name, kind in schema.TABLES["llc"].items() if kind == "s"}
    numbers = {name: 1 for name, kind in schema.TABLES["llc"].items() if kind != "s"}
    row = {**text, **numbers, "run": "theirs", "status": "failed", "setting_id": EVIL}
    frame = pd.DataFrame([row | {"step": step, "created": 0.0} for step in (0, 1024)])
    write_table("llc", frame, Run(place))
    out = tmp_path / "page.html"
    status, err = run(capsys, "report", place, "--out", out)
    assert status == 0, err
    page = out.read_text()
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "alert(1)" in page
