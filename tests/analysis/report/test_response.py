"""Figures of what states and parts contribute: the tables' rows, and nothing without them."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import t as student

from analysis import schema
from analysis.report import StudyData, build_report, load_study
from analysis.report.figures import find_figure
from analysis.report.figures.lines import run_lines

KINDS = {"coin in view": 0.25, "no coin in view": 0.75}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_study) -> StudyData:  # type: ignore[no-untyped-def]
    study: Path = write_study(tmp_path_factory.mktemp("response") / "demo", checkpoints=4)
    for run in sorted((study / "runs").iterdir()):
        llc = pd.read_parquet(run / "tables" / "llc.parquet")
        llc = llc[llc["states"] == "frozen"]
        for table in ("contributions", "influence", "susceptibilities"):
            rows = [
                {"run": run.name, "step": row["step"], "estimate_id": row["estimate_id"],
                 "states": "frozen", "probe": "probe:behind", "of_states": kind, "share": share,
                 "value": 20 + share, "stderr": 1.0, "draws": 12, "dof": 27, "correlation": share,
                 "correlation_stderr": 0.1, "status": "ok",
                 "observable": "loss", "perturb": "probe:behind", "component": kind}
                for row in llc.to_dict("records") for kind, share in KINDS.items()
            ]  # fmt: skip
            if table == "susceptibilities":  # of a checkpoint without an LLC of its own
                rows += [row | {"step": 3} for row in rows if row["step"] == llc["step"].max()]
            frame = pd.DataFrame(rows).reindex(columns=[*schema.TABLES[table]])
            schema.conform(table, frame).to_parquet(run / "tables" / f"{table}.parquet")
    return load_study(study)


def test_contributions_are_the_rows_of_the_estimates_shown(data: StudyData) -> None:
    drawn = find_figure(data, "contributions")
    assert [panel.title for panel in drawn.panels] == [
        "coin in view (on shared states, 25% of them)",
        "no coin in view (on shared states, 75% of them)",
    ]
    line = next(s for s in drawn.series if s.run == "end-s0" and s.panel.endswith(":coin in view"))
    assert set(line.y) == {20.25} and line.high[0] == pytest.approx(20.25 + student.ppf(0.975, 27))


def test_influences_are_correlations_with_zero_beside_them(data: StudyData) -> None:
    drawn = find_figure(data, "influence")
    assert all(panel.range == (-1.0, 1.0) for panel in drawn.panels)
    key = "frozen:probe:behind:no coin in view"
    mine = [s for s in drawn.series if s.panel == key]
    assert [s.name for s in mine] == ["end", "behind", "none"]
    assert set(mine[0].y) == {0.75} and set(mine[-1].y) == {0.0}


def test_the_axis_holds_checkpoints_without_an_llc(data: StudyData) -> None:
    drawn = find_figure(data, "susceptibility")
    assert min(x for s in drawn.series for x in s.x if x > 0) == 3
    assert drawn.axis is not None and drawn.axis["range"][0] <= math.log10(3)


def test_susceptibilities_have_a_panel_for_each_component(data: StudyData) -> None:
    drawn = find_figure(data, "susceptibility")
    assert [panel.title for panel in drawn.panels] == [
        f"{kind}: loss to probe:behind" for kind in KINDS
    ]
    mine = [s for s in drawn.series if s.panel == "loss:probe:behind:coin in view"]
    assert [s.name for s in mine] == ["end", "behind", "none"]
    assert set(mine[0].y) == {20.25} and mine[0].low[0] == pytest.approx(16.917, abs=1e-3)
    # All bands hold together: Student's t of 27 degrees at 5 % over 20 values.
    assert student.ppf(1 - 0.025 / 20, 27) == pytest.approx(20.25 - 16.917, abs=1e-3)
    assert "hold for all 20 values" in drawn.caption


def test_a_line_holds_one_setting_and_nothing_where_there_is_no_value(data: StudyData) -> None:
    """Of two settings the one of more checkpoints; without any value there is no scale either."""
    table = data.table("susceptibilities")
    last = table[table["step"] == table["step"].max()]
    kept = table.assign(setting_id="a")
    mixed = pd.concat([kept, last.assign(setting_id="b", value=3.0)], ignore_index=True)
    study = replace(data, tables=data.tables | {"susceptibilities": mixed})
    drawn = find_figure(study, "susceptibility")
    assert {y for s in drawn.series if s.role != "baseline" for y in s.y} == {20.25, 20.75}
    none = data.table("contributions").assign(value=float("nan"), stderr=float("nan"))
    below = data.table("contributions").assign(value=-5.0)
    for table, spans in ((none, {(0.0, 1.06)}), (below, {(-1.06 * (5 + 2.0518), 0.0)})):
        study = replace(data, tables=data.tables | {"contributions": table})
        found = {panel.range for panel in find_figure(study, "contributions").panels}
        assert [pytest.approx(span, abs=1e-3) for span in spans] == list(found)


def test_bands_of_means_over_seeds_hold_together_with_those_of_runs() -> None:
    rows = pd.DataFrame({"arm": "a", "run": ["x", "y", "z"], "step": 1, "value": [1.0, 2.0, 3.0]})
    for together in (1, 20):
        mean = run_lines(rows, "a", 0, "p", together=together)[-1]
        half = student.ppf(1 - 0.025 / together, 2) / 3**0.5
        assert mean.role == "mean" and mean.high[0] == pytest.approx(2 + half)


def test_the_page_has_the_section_only_where_there_is_something(
    data: StudyData, demo: Path
) -> None:
    assert 'id="h-parts"' in build_report(data)
    assert 'id="h-parts"' not in build_report(load_study(demo))
