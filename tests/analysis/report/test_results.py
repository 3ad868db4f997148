"""What many seeds and comparisons bring to the page, and what it says without them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis import schema
from analysis.report import StudyData, build_report, build_summary, load_study
from analysis.report.comparisons import comparisons
from analysis.report.figures import find_figure
from analysis.report.results import path_result, prediction_result
from analysis.report.test_tables import ALONE, small_errors, transition_table


def test_the_summary_holds_each_answer(rich: StudyData) -> None:
    lines = " ".join(build_summary(rich)["sentences"])
    assert "beyond the cheaper signs" in lines
    assert "Runs are divided by their final" in lines
    assert len(prediction_result(rich).rows) > 0


def test_what_would_have_been_found_stands_beside_what_was_not(rich: StudyData) -> None:
    def with_power(size: float) -> StudyData:
        missed = {"p_adjusted": 1.0, "smallest_effect": size}
        tables = {name: rich.table(name).assign(**missed)
                  for name in ("predictions", "path_dependence")}  # fmt: skip
        return replace(rich, tables=rich.tables | tables)

    told, none = with_power(0.12), with_power(float("nan"))
    assert "a gain of +12 % is found with about 80 %, so corrected" in prediction_result(told).line
    assert "was not computed, or none would be" in prediction_result(none).line
    assert "differ by 0.12 of its standard deviations" in path_result(told).line
    assert "none could, so corrected" in path_result(none).line


def test_the_figure_holds_the_tables_numbers(rich: StudyData) -> None:
    figure = find_figure(rich, "early")
    table = rich.table("path_dependence")
    lines = [s for s in figure.series if s.role == "mean"]
    assert lines and not figure.missing
    for line in lines:
        rows = table[table["feature"] == line.panel].dropna(subset=["accuracy"])
        assert line.y == rows.sort_values("step")["accuracy"].tolist()


def test_one_run_an_arm_is_said_plainly(demo: Path) -> None:
    data = load_study(demo)
    assert "No prediction" in prediction_result(data).missing
    few = pd.DataFrame([{"run": "*", "feature": "llc:kl/frozen", "step": 0, "probe": "behind",
                         "metric": "coin_rate", "cut": 0.5, "n": 2,
                         "note": "too few runs to show it: needs 5 runs, has 2"}])  # fmt: skip
    blank = few.assign(**dict.fromkeys(("accuracy", "chance", "p_value", "q_value"), float("nan")))
    tables = data.tables | {"path_dependence": schema.conform("path_dependence", blank)}
    assert "needs 5 runs" in path_result(replace(data, tables=tables)).missing
    page = build_report(data)
    assert "No two agents of this page were compared" in page


def test_a_comparison_is_shown_with_its_numbers(rich: StudyData) -> None:
    found, notes = comparisons(rich)
    assert notes == [] and len(found) == 1
    assert "at most 1.2% hold a larger one (95% confidence, from 250 levels" in found[0].lines[1]
    assert found[0].places[0].agents[1].moves == "left 97%, right 1%"
    assert found[0].bounds == [
        {"levels": "coin at the end", "of an episode": "gets the coin", "a": "0.02", "b": "0.1",
         "simulation lemma": "vacuous", "coupling": "0.25", "paired levels": "0.2"},
        {"levels": "coin behind the agent", "of an episode": "gets the coin", "a": "0.02",
         "b": "0.1", "simulation lemma": "vacuous", "coupling": "vacuous", "paired levels": "0.2"},
    ]  # fmt: skip
    said = found[0].lines[-1]
    assert said.startswith("Whatever is asked of an episode, the mean of its answers differs")
    assert "(coin at the end: by 25% of its range). For all questions at once nothing" in said
    assert "nothing can be said on coin behind the agent: there the two do not stay" in said
    page = build_report(rich)
    assert "end-s0 at step 1,000,000 and behind-s0 at step 1,000,000" in page
    assert '"id":"slices-near-0"' in page and '"id":"slices-between-0"' in page


def test_a_damaged_comparison_is_noted(rich: StudyData) -> None:
    run = rich.runs[0]
    broken = replace(run, comparisons=[{"a": {"run": "x"}, "folder": str(run.path)}])
    shown, notes = comparisons(replace(rich, runs=[broken]))
    assert shown == [] and "cannot be read (KeyError)" in notes[0]


def test_pictures_outside_the_comparison_are_not_embedded(
    tmp_path: Path, write_study: Callable[..., Path], write_comparison: Callable[[Path], Path]
) -> None:
    study = write_study(tmp_path / "s", checkpoints=4, clips=False)
    folder = write_comparison(study / "runs" / "end-s0")
    record = json.loads((folder / "comparison.json").read_text())
    record["places"][0]["picture"] = "../../config.json"
    (folder / "comparison.json").write_text(json.dumps(record))
    assert comparisons(load_study(study))[0][0].places[0].picture == ""


def test_errors_that_were_widened_are_named_with_their_factor() -> None:
    table = pd.DataFrame({"run": ["a", "b", "a"], "series": ["llc:kl:frozen"] * 2 + ["probe:x:y"],
                          "error_scale": [1.52, 1.52, 1.0]})  # fmt: skip
    titles = {"llc:kl:frozen": "LLC frozen", "probe:x:y": "x"}
    said = small_errors(table, titles)
    assert "by a factor of: LLC frozen 1.5." in said
    assert small_errors(table.assign(error_scale=1.0), titles) == ""
    assert small_errors(table.drop(columns="error_scale"), titles) == ""


def test_one_run_alone_says_that_nothing_checks_its_errors(rich: StudyData) -> None:
    assert transition_table(rich)["errors"] != ALONE
    assert transition_table(replace(rich, runs=rich.runs[:1]))["errors"] == ALONE
