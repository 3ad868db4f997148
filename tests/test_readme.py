"""README's Python runs as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from agents.checkpoints import NetworkSpec, save_checkpoint, write_index

README = Path(__file__).resolve().parents[1] / "README.md"


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
