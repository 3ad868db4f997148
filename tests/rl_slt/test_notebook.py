"""The tutorial runs from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "llc_tutorial.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tutorial() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    printed = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in printed)
    assert any("text/html" in o.get("data", {}) for o in printed)
