"""The README's Python runs as it stands there; every file that the documents name is there."""

import re
from pathlib import Path

import pytest
import torch

from agents.checkpoints import NetworkSpec, save_checkpoint, write_index

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
OURS = "rl_slt|envs|agents|analysis|docs|benchmarks|tests|notebooks"


def test_the_python_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    torch.manual_seed(0)
    run, spec = tmp_path / "demo" / "runs" / "behind-s0", NetworkSpec("small", {})
    save_checkpoint(run, 4096, spec.build(), spec, {})
    write_index(run, finished=True)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "llc" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_are_there(document: Path) -> None:
    text = document.read_text()
    linked = [document.parent / place for place in re.findall(r"\]\(([^):#]+)\)", text)]
    named = [ROOT / place for place in re.findall(rf"`((?:{OURS})/[\w./-]+)`", text)]
    assert linked + named
    assert [str(path) for path in linked + named if not path.exists()] == []
