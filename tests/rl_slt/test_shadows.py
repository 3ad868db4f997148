"""A folder with an `agents` of its own, as the checkout of another trainer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
SAID = f"agents: found at {{}}, before rl-slt's own at {ROOT / 'agents'}; use the command rl-slt, "


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("raise AssertionError('theirs was run')\n")
    return tmp_path


def run(folder: Path, *command: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a folder, with these folders before ours on PYTHONPATH."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_the_command_works_there(theirs: Path) -> None:
    program = shutil.which("rl-slt", path=Path(sys.executable).parent) or shutil.which("rl-slt")
    assert program is not None
    done = run(theirs, program, "levels", "--seeds", "0:1", "--out", "sheet.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert (theirs / "sheet.png").exists()


@pytest.mark.parametrize(
    ("command", "path"), [(["-m", "rl_slt"], ""), (["-P", "-m", "rl_slt"], ".")]
)
def test_a_command_that_finds_theirs_says_so(theirs: Path, command: list[str], path: str) -> None:
    done = run(theirs, sys.executable, *command, "levels", "--out", "sheet.png", path=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rl-slt: error: {SAID.format(theirs / 'agents')}")
    assert done.stderr.count("\n") == 1


def test_an_import_warns_and_the_estimator_works(theirs: Path) -> None:
    code = "import rl_slt; print(rl_slt.PolicyKL().name); import rl_slt.pipeline"
    done = run(theirs, sys.executable, "-c", code)
    said = SAID.format(theirs / "agents")
    assert done.stdout == "kl\n"
    assert f"UserWarning: {said}" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[-1].startswith(f"rl_slt.errors.InputError: {said}")


def test_a_notebook_there(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    installed = f"import sys; sys.path.insert(sys.path.index('') + 1, {str(ROOT)!r})"
    cells = [f"{installed}; import rl_slt; rl_slt.estimate_llc", "import rl_slt.pipeline"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.resources = {"metadata": {"path": str(theirs)}}
    with pytest.raises(CellExecutionError) as refused:
        client.execute()
    assert refused.value.ename == "InputError"
    assert refused.value.evalue.startswith(SAID.format(theirs / "agents"))
    assert SAID.format(theirs / "agents") in notebook.cells[0].outputs[0]["text"]


def test_folders_that_are_no_packages_shadow_nothing(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "ppo.py").touch()
    assert run(tmp_path, sys.executable, "-W", "error", "-c", "import rl_slt.pipeline").stderr == ""
