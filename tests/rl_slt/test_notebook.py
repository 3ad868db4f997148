"""The notebooks run from top to bottom, and are kept without outputs."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Small numbers that take the place of those of a notebook.
SMALL = {"does_my_agent_want_the_coin": dict(LEVELS=4, STEPS=30, DEMONSTRATIONS=512)}
named = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"llc_in_ten_lines", *SMALL}


@named
def test_it_is_kept_clean(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@named
def test_its_code_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which has its imports already; the slow test has a kernel."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source.replace("%matplotlib inline", ""), namespace)
                namespace |= SMALL.get(path.stem, {})


@pytest.mark.slow
@named
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_in_a_kernel_and_shows_what_it_says(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    printed = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in printed)
    assert any("text/html" in o.get("data", {}) for o in printed)
    if path.stem in SMALL:  # the clone of a seeker wants the coin
        assert any("this agent wants the coin" in o.get("text", "") for o in printed)
