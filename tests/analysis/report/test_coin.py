"""What the coin changes in the policy: the tables' rows, and nothing where there are none."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis.probes import SCORES
from analysis.report import StudyData
from analysis.report.figures import find_figure
from analysis.report.results import feature_title
from analysis.report.test_tables import shown_series


def with_table(data: StudyData, name: str, frame: pd.DataFrame) -> StudyData:
    return replace(data, tables={**data.tables, name: frame})


@pytest.mark.parametrize(
    "key", ["counterfactual:toward:left", "counterfactual:value_change:left",
            "readout:gain:policy_head"],
)  # fmt: skip
def test_curves_are_the_tables_rows(data: StudyData, key: str) -> None:
    probe, _, metric = key.partition(":")
    table = data.table("probes")
    mine = table[(table["run"] == "behind-s0") & (table["probe"] == probe)]
    mine = mine[mine["metric"] == metric].sort_values("step")
    line = next(s for s in find_figure(data, "coin").series if s.panel == key and s.color == 1)
    assert (line.x, line.y) == (mine["step"].tolist(), mine["value"].tolist())
    assert (line.low, line.high) == (mine["ci_low"].tolist(), mine["ci_high"].tolist())
    assert line.n == [100] * 13


def test_the_coin_shares_the_axis_of_the_other_figures(data: StudyData) -> None:
    assert find_figure(data, "coin").axis == find_figure(data, "llc").axis


def test_distances_are_those_of_the_last_checkpoint(data: StudyData) -> None:
    figure = find_figure(data, "coin-distance")
    table = data.table("counterfactual")
    last = table[(table["run"] == "behind-s0") & (table["step"] == table["step"].max())]
    for side, distances in (("left", [2, 3, 4, 5, 6]), ("end", [5, 6])):
        mine = last[(last["side"] == side) & (last["metric"] == "toward")]
        line = next(s for s in figure.series if s.panel == side and s.color == 1)
        assert line.x == distances
        assert line.y == mine.sort_values("distance")["value"].tolist()
    assert len({panel.range for panel in figure.panels}) == 1
    low, high = figure.panels[0].range or (0.0, 0.0)
    assert low < 0 and high > last[last["metric"] == "toward"]["ci_high"].max()


def test_several_seeds_are_pooled_at_each_distance(large_data: StudyData) -> None:
    lines = [s for s in find_figure(large_data, "coin-distance").series if s.panel == "left"]
    means = [s for s in lines if s.role == "mean"]
    assert [s.name for s in means] == ["end", "behind"]
    assert means[1].n == [10] * 5


def test_noise_is_not_blown_up_to_an_effect(data: StudyData) -> None:
    table = data.table("probes")
    tiny = table.assign(**{c: table[c] / 1e4 for c in ("value", "ci_low", "ci_high")})
    panel = find_figure(with_table(data, "probes", tiny), "coin").panels[0]
    assert panel.range is not None and panel.range[0] < -0.1 and panel.range[1] > 0.1


def test_a_missing_readout_is_said_and_has_no_empty_panel(data: StudyData) -> None:
    table = data.table("probes")
    figure = find_figure(with_table(data, "probes", table[table["probe"] != "readout"]), "coin")
    assert [panel.key for panel in figure.panels] == [
        "counterfactual:toward:left", "counterfactual:value_change:left",
    ]  # fmt: skip
    assert "it needs states of 20 levels" in figure.caption


def test_only_goal_series_of_these_probes_are_shown_as_evidence(data: StudyData) -> None:
    shown = [name for name in shown_series(data) if "counterfactual" in name or "readout" in name]
    assert sorted(shown) == ["probe:counterfactual:toward:left", "probe:readout:gain:policy_head"]
    assert feature_title("probe:counterfactual:toward:left").startswith("the probe effect of")


def test_avoidance_stands_beside_the_other_scores(data: StudyData) -> None:
    row = data.table("probes").head(13)
    scored = [row.assign(probe="suite", metric=m, value=0.5) for m in ("avoidance", "preference")]
    more = with_table(data, "probes", pd.concat([data.table("probes"), *scored]))
    titles = [panel.title for panel in find_figure(more, "timeline-0").panels]
    place = titles.index(SCORES["avoidance"].title)
    assert titles[place + 1] == SCORES["preference"].title
