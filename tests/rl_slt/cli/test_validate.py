"""validate prints the table and its status tells whether every answer is right."""

from pathlib import Path

import pandas as pd
import pytest

from rl_slt.cli import main
from rl_slt.known.validate import COLUMNS


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["validate", *argv])
    return int(end.value.code or 0)


def test_a_known_answer_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--only", "quadratic") == 0
    out = capsys.readouterr().out
    assert "quadratic" in out and "1 of 1 pass" in out


def test_what_is_known_of_behavior_is_asked_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--only", "field", "--only", "steering-replace") == 0
    assert "2 of 2 pass" in capsys.readouterr().out


def test_quick_takes_few_problems_and_no_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rl_slt.known.problems.QUICK", ("quadratic",))
    assert run("--quick") == 0
    assert "1 of 1 pass" in capsys.readouterr().out
    assert run("--quick", "--only", "quadratic") == 2
    assert "not both" in capsys.readouterr().err


def test_a_batch_size_asks_for_the_batch_sampler(tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    assert run("--only", "tabular", "--batch-size", "64", "--out", str(table)) in (0, 1)
    row = pd.read_csv(table).iloc[0]
    assert (row["sampler"], row["batch_size"]) == ("baoab", 64)
    assert run("--only", "tabular", "--batch-size", "0") == 2


def test_a_wrong_answer_ends_non_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(names: list[str], **settings: object) -> pd.DataFrame:
        row = dict.fromkeys(COLUMNS, 1.0) | {
            "problem": names[0], "sampler": "x", "status": "ok", "verdict": "fail",
        }  # fmt: skip
        return pd.DataFrame([row])

    monkeypatch.setattr("rl_slt.pipeline.commands.validate.validate", wrong)
    assert run("--only", "quadratic") == 1
    assert "0 of 1 pass" in capsys.readouterr().out
