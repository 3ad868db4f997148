"""Every file that the documents name is there."""

import re
from pathlib import Path

import pytest

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
