"""Hypotheses on the page: which were named before the data, and what a null result could see."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from analysis import schema
from analysis.hypotheses import LATE
from analysis.report import StudyData, build_report, load_study
from analysis.report.hypotheses import hypothesis_view, sentence_of
from rl_slt.cli import cli


def with_rows(data: StudyData, **columns: list[object]) -> StudyData:
    """A primary, a secondary and two exploratory hypotheses."""
    shared = {"run": "*", "arm": "*", "kind": "arms", "direction": "greater", "series": "llc",
              "metric": "", "q_value": float("nan"), "message": "", "statistic": "difference",
              "hypothesis": ["main claim", "side claim", "pair one", "pair two"],
              "role": ["primary", "secondary", "exploratory", "exploratory"],
              "value": [4.1, 0.1, 0.95, 0.2], "ci_low": 0.0, "ci_high": 9.0, "n": 10,
              "p_value": [0.004, 0.4, 0.0001, 0.5], "p_adjusted": [0.004, 0.4, 0.03, 0.9],
              "smallest_effect": [2.0, 0.75, 0.9, 0.9]}  # fmt: skip
    frame = schema.conform("hypotheses", pd.DataFrame(shared | columns))
    fixed = {"sha256": "ab" * 32, "time": "2026-01-02 03:04:05+00:00"}
    return replace(data, tables=data.tables | {"hypotheses": frame}, fixed=fixed)


def test_the_page_says_which_are_which_and_when_they_were_fixed(data: StudyData) -> None:
    whole = with_rows(data)
    page = build_report(whole)
    assert "ab" * 32 in page and "2026-01-02 03:04:05" in page
    view = hypothesis_view(whole)
    assert [(row["role"], row["result"]) for row in view.named] == [
        ("primary", "found"), ("secondary", "not found")
    ]  # fmt: skip
    assert [row["hypothesis"] for row in view.exploratory] == ["pair one", "pair two"]
    assert "Of 2 further pairs" in view.line and "1 pass 5 %" in view.line
    for name in ("main claim", "side claim", "pair one"):
        assert name in page


def test_power_stands_next_to_null_results_alone(data: StudyData) -> None:
    view = hypothesis_view(with_rows(data))
    assert [row["power"] for row in view.named] == [
        "", "this design finds 0.75 or more with 80 %"
    ]  # fmt: skip
    blank = with_rows(data, smallest_effect=[float("nan")] * 4)
    assert "no effect is large enough" in hypothesis_view(blank).named[1]["power"]


def test_sentences_of_hypotheses(data: StudyData) -> None:
    rows = with_rows(data).table("hypotheses").to_dict("records")
    numbers = "difference 4.1 [0, 9], p = 0.004, 10 runs."
    assert sentence_of(rows[0]).endswith(f"“main claim”, is supported at 5 %: {numbers}")
    assert sentence_of(rows[1]).endswith("this design finds 0.75 or more with 80 %.")
    partial = rows[0] | {"message": "arms without a value: both"}
    assert sentence_of(partial).endswith("10 runs; arms without a value: both.")
    either = rows[1] | {"direction": "two-sided"}
    assert "p = 0.4 (two-sided, corrected), 10 runs" in sentence_of(either)
    few = rows[1] | {"smallest_effect": float("nan"), "message": "its smallest p is 0.1"}
    assert sentence_of(few).endswith("10 runs; its smallest p is 0.1.")
    lost = rows[0] | {"p_adjusted": float("nan"), "message": "one run of each arm"}
    assert sentence_of(lost).endswith("“main claim”, is not tested: one run of each arm.")


def test_a_study_without_hypotheses_says_so(data: StudyData) -> None:
    bare = replace(data, tables=data.tables | {"hypotheses": schema.empty("hypotheses")})
    assert "named no hypothesis before its data" in hypothesis_view(bare).missing
    assert "named no hypothesis before its data" in build_report(bare)


def test_what_is_named_after_the_data_is_never_primary(
    write_study: Callable[..., Path], tmp_path: Path
) -> None:
    """Through the command line: a claim that is written into study.json later, and a swapped one.

    The table is made again; then the page is made of a table that was written by hand.
    """
    study = write_study(tmp_path / "study", seeds=range(1), checkpoints=4, clips=False)
    known = json.loads((study / "study.json").read_text())
    primary = known["hypothesis"][0]["name"]
    late = {"name": "late", "role": "primary", "kind": "arms", "arms": ["end", "behind"]}
    mended = known | {"hypothesis": [known["hypothesis"][0] | {"direction": "less"}, late]}
    (study / "study.json").write_text(json.dumps(mended))
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["report", str(study), "--out", str(page)])
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(study / "tables" / "hypotheses.parquet").set_index("hypothesis")
    assert table.loc[primary, "role"] == "primary" and table.loc[primary, "direction"] == "greater"
    for name in (primary, "late"):
        assert table.loc[f"{name} ({LATE})", "role"] == "exploratory"
    assert f"late ({LATE})" in page.read_text()
    forged = table.rename(index={f"late ({LATE})": "late"}).assign(role="primary").reset_index()
    forged.to_parquet(study / "tables" / "hypotheses.parquet")
    data = load_study(study)
    roles = data.table("hypotheses").set_index("hypothesis")["role"]
    assert roles[primary] == "primary" and (roles == "primary").sum() == 1
    assert [row["hypothesis"] for row in hypothesis_view(data).late][-1] == f"late ({LATE})"
    assert any("Named after the data" in line and "“late”" in line for line in data.missing)
