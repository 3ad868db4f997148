"""Some 320 malformed inputs over all commands: one line each, and nothing changes on disk."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rl_slt.cli import COMMANDS, main
from tests.rl_slt.disk import marks

LINES = (Path(__file__).parent / "malformed.txt").read_text().splitlines()
LINES = [line for line in LINES if not line.startswith("#")]
CASES = [(argv, message.strip()) for argv, message in zip(LINES[::2], LINES[1::2], strict=True)]
PROGRESS = re.compile(r"== \w+ ==|[\w ]+: [\d.]+ s$|[\w ]+: [\d,]+/[\d,]+ ")


def errors(stderr: str) -> list[str]:
    """The lines that are no progress, which a busy machine may show."""
    return [line for line in stderr.splitlines() if not PROGRESS.match(line)]


def digests(place: Path) -> dict[str, str]:
    files = (p for p in place.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module", autouse=True)
def every_byte_stays(mistakes: Path) -> object:
    before = digests(mistakes)
    yield
    assert digests(mistakes) == before


@pytest.mark.parametrize(("argv", "message"), CASES, ids=[argv for argv, _ in CASES])
def test_one_line_and_nothing_changes(
    mistakes: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: str,
    message: str,
) -> None:
    monkeypatch.chdir(mistakes)
    before = marks(mistakes)
    with pytest.raises(SystemExit) as end:
        main(shlex.split(argv))
    out, err = capsys.readouterr()
    assert end.value.code in (1, 2) and out == ""
    lines = errors(err)
    assert len(lines) == 1 and lines[0].startswith("rl-slt: error: ")
    assert message in lines[0]
    assert marks(mistakes) == before
    assert not (mistakes / "sprung").exists(), "code from a file was run"


def test_there_are_enough_of_every_command() -> None:
    argvs = [argv for argv, _ in CASES]
    assert len(argvs) == len(set(argvs)) >= 250
    counts = Counter(argv.split()[0] for argv in argvs)
    assert all(counts[name] >= 4 for name in COMMANDS)


READ_ONLY = [
    "llc good --workers 0", "probe good --workers 0", "train new --steps 512", "run sound.toml",
    "report good --out x.html", "levels --out x.png",
    "import good/checkpoints/000000000000/policy.safetensors new",
]  # fmt: skip
ONE_AFTER_ANOTHER = """
import json, shlex, sys
from rl_slt.cli import main
for argv in json.loads(sys.argv[1]):
    try:
        main(shlex.split(argv))
    except SystemExit as end:
        print(f"status {end.code}", file=sys.stderr)
"""


def test_in_a_process_of_its_own(mistakes: Path) -> None:
    argvs = ["train new --coin moon", "report gone --out x.html"]
    command = [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(argvs)]
    done = subprocess.run(command, cwd=mistakes, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.stdout == "" and lines[1::2] == ["status 2"] * 2, done.stderr
    assert all(line.startswith("rl-slt: error: ") for line in lines[::2])


def test_a_folder_that_may_not_be_written(mistakes: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    shutil.copytree(mistakes / "good", place / "good")
    shutil.copy(mistakes / "sound.toml", place)
    for folder in (*(p for p in place.rglob("*") if p.is_dir()), place):
        folder.chmod(0o555)
    command = [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(READ_ONLY)]
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that up
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to try this as root")
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    before = marks(place)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    said = re.split(r"status (\d)\n", done.stderr)
    assert said[1::2] == ["1"] * len(READ_ONLY), done.stderr
    for argv, err in zip(READ_ONLY, said[::2], strict=False):
        lines = errors(err)
        assert len(lines) == 1 and "Permission denied" in lines[0], (argv, err)
    assert marks(place) == before
