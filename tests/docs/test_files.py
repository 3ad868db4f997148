"""Every file that the documents name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
OURS = "rl_slt|envs|agents|analysis|docs|benchmarks|tests|notebooks"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_are_there(document: Path) -> None:
    text = document.read_text()
    linked = [document.parent / place for place in re.findall(r"\]\(([^):#]+)\)", text)]
    named = [ROOT / place for place in re.findall(rf"`((?:{OURS})/[\w./-]+)`", text)]
    made = ROOT / "docs" / "reference"  # by the site, whose build checks links to it
    missing = [path.resolve() for path in linked + named if not path.exists()]
    assert [str(path) for path in missing if path.parent != made] == []


def test_hooks_before_a_commit_run_tools_that_are_installed() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"  # nothing is fetched
    tools = {hook["id"]: hook["entry"].split() for hook in repo["hooks"]}
    assert set(tools) == {"ruff", "ruff-format", "mypy", "nbstripout"}
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    ours = Path(sys.executable).parent  # may not be on the PATH
    assert [tool for tool, *_ in tools.values() if not (ours / tool).exists()] == []
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    strip, *options = tools["nbstripout"]
    clean = subprocess.run([ours / strip, *options, *notebooks], capture_output=True, text=True)
    assert notebooks and clean.returncode == 0, clean.stdout
