"""The data of figures: exactly the numbers of the tables, in the right places."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from analysis.report import StudyData, build_report, load_study
from analysis.report import figures as registry
from analysis.report.figures import FIGURES, Figure, FigureRecord, Series, all_figures, find_figure
from analysis.report.figures.axes import step_axis
from analysis.report.figures.lines import thin
from analysis.report.figures.model import Panel
from analysis.report.labels import short
from analysis.report.page import render
from analysis.report.seed_means import mean_curve, over_seeds


@pytest.fixture(scope="module")
def figures(data: StudyData) -> dict[str, Figure]:
    return {figure.id: figure for figure in all_figures(data)}


def series_of(figure: Figure, panel: str, run: str) -> Series:
    return next(s for s in figure.series if s.panel == panel and s.run == run)


def test_there_is_a_timeline_for_each_arm(figures: dict[str, Figure]) -> None:
    assert list(figures) == [
        "goal", "overview", "link", "coin", "coin-distance", "llc", "profile", "timeline-0",
        "timeline-1", "staircase", "early",
    ]  # fmt: skip
    assert [name for name, figure in figures.items() if figure.missing] == ["early"]  # one seed


def test_every_record_has_a_name_of_its_own_and_a_section_of_the_page() -> None:
    assert len({record.id for record in FIGURES}) == len(FIGURES)
    templates = render._environment().list_templates(extensions=["jinja"])
    loader = render._environment().loader
    assert loader is not None
    text = "".join(loader.get_source(render._environment(), name)[0] for name in templates)
    for record in FIGURES:
        assert re.fullmatch("[a-z-]+", record.id) and record.title and record.x_title
        assert text.count(f'figure_cards("{record.section}"') == 1


def test_a_figure_is_added_by_its_record_alone(
    data: StudyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = [Series("p", "end", "seed", 0, [0, 10], [1.0, 2.0])]
    record = FigureRecord(
        id="own", section="coin", kind="steps", title="A new figure", caption="What is shown.",
        x_title="x", needs="Nothing.",
        draw=lambda _: [Figure([Panel("p", "t", "y")], series, "An alt.", axis=step_axis([0, 9]))],
    )  # fmt: skip
    monkeypatch.setattr(registry, "FIGURES", (*FIGURES, record))
    page = build_report(data)
    assert 'id="figure-own"' in page and 'id="data-own"' in page
    assert page.index("h-coin") < page.index('id="figure-own"') < page.index("h-films")


def test_llc_series_are_the_tables_rows(data: StudyData, figures: dict[str, Figure]) -> None:
    llc = data.table("llc")
    for arm, figure in (("end", "timeline-0"), ("behind", "timeline-1")):
        mine = llc[(llc["run"] == f"{arm}-s0") & (llc["states"] == "frozen")].sort_values("step")
        for shown in (figures[figure], figures["llc"]):
            series = series_of(shown, "llc:frozen", f"{arm}-s0")
            assert series.x == mine["step"].tolist()
            assert series.y == mine["llc"].tolist()
            half = 1.959963984540054 * mine["llc_stderr_total"]
            assert series.low == (mine["llc"] - half).tolist()
            assert series.flag == mine["status"].tolist()


def test_a_failed_estimate_keeps_its_place_without_a_value(figures: dict[str, Figure]) -> None:
    series = series_of(figures["timeline-0"], "llc:on-policy", "end-s0")
    assert series.flag[2] == "failed" and series.y[2] is None and series.x[2] > 0


def test_probe_series_are_the_tables_rows(data: StudyData, figures: dict[str, Figure]) -> None:
    probes = data.table("probes")
    for probe, metric in (("behind", "coin_rate"), ("none@mid", "end_rate")):
        mine = probes[(probes["run"] == "end-s0") & (probes["probe"] == probe)]
        mine = mine[mine["metric"] == metric].sort_values("step")
        series = series_of(figures["timeline-0"], f"probe:{probe}", "end-s0")
        assert (series.x, series.y) == (mine["step"].tolist(), mine["value"].tolist())
        assert (series.low, series.high) == (mine["ci_low"].tolist(), mine["ci_high"].tolist())


def test_the_coin_blind_script_runs_across_every_probe(
    data: StudyData, figures: dict[str, Figure]
) -> None:
    episodes = data.table("episodes")
    lines = {s.panel: s for s in figures["timeline-0"].series if s.role == "baseline"}
    assert len(lines) == 6
    mine = episodes[(episodes["run"] == "end-s0") & (episodes["probe"] == "ground")]
    assert lines["probe:ground"].y == [mine["coin_collected"].mean()] * 2
    assert lines["probe:ground"].x[0] == 0


def test_a_return_is_drawn_to_the_most_that_its_game_pays_and_is_no_share(
    data: StudyData, figures: dict[str, Figure]
) -> None:
    assert figures["timeline-0"].panels[0].range == (0.0, 10.0)
    config = {"train": {"game": "gridworld"}}
    runs = [replace(r, config=config, progress=r.progress.assign(ret=0.7)) for r in data.runs]
    probes = [
        {"run": "end-s0", "arm": "end", "step": 0, "probe": probe, "metric": metric, "value": 0.5,
         "ci_low": 0.5, "ci_high": 0.5, "n": 25}
        for probe, metric in (("apart", "corner_first"), ("anywhere", "mean_return"))
    ]  # fmt: skip
    grid = replace(data, runs=runs, tables=data.tables | {"probes": pd.DataFrame(probes)})
    (figure, *_) = registry.timeline.TIMELINES.build(grid)
    labels = {panel.key: panel.y_label for panel in figure.panels}
    assert figure.panels[0].range == (0.0, 1.0)
    assert labels["probe:apart"] == "corner reached first, share"
    assert labels["probe:anywhere"] == "mean return"


def test_transitions_stand_in_the_panel_of_their_series(figures: dict[str, Figure]) -> None:
    marks = {mark.series: mark for mark in figures["timeline-0"].marks}
    assert marks["llc:kl:frozen"].panel == "llc:frozen"
    assert marks["probe:behind:coin_rate"].panel == "probe:behind"
    assert {mark.run for mark in marks.values()} == {"end-s0"}


def test_a_transition_of_a_hidden_metric_is_not_drawn(demo: Path) -> None:
    data = load_study(demo)
    data.table("transitions")["series"] = "probe:behind:death_rate"
    assert {m.panel for f in all_figures(data) for m in f.marks} == {""}


def test_the_goal_figure_shows_last_checkpoints(
    data: StudyData, figures: dict[str, Figure]
) -> None:
    probes = data.table("probes")
    last = probes[(probes["step"] == probes["step"].max()) & (probes["run"] == "behind-s0")]
    series = next(s for s in figures["goal"].series if s.run == "behind-s0")
    truth = last[last["metric"].isin(["coin_rate", "end_rate"])].set_index("probe")["value"]
    assert dict(zip(series.x, series.y, strict=True)) == truth.to_dict()


def test_a_loss_to_a_fixed_policy_is_preferred_to_the_return(demo: Path) -> None:
    data = load_study(demo)
    llc = data.table("llc")
    fixed = llc.assign(reference="last", loss_init=llc["step"].astype(float) / 1e6)
    data.tables["llc"] = pd.concat([llc, fixed], ignore_index=True)
    staircase = find_figure(data, "staircase")
    assert "last" in staircase.x_title
    assert staircase.series[0].x == [step / 1e6 for step in staircase.series[0].step]


def test_several_seeds_get_a_mean_with_an_interval_over_seeds(large_data: StudyData) -> None:
    figure = find_figure(large_data, "timeline-1")
    lines = [s for s in figure.series if s.panel == "llc:frozen"]
    assert [s.role for s in lines] == ["seed"] * 10 + ["mean"]
    values = np.array([s.y[-1] for s in lines[:-1]], dtype=float)
    half = student.ppf(0.975, 9) * values.std(ddof=1) / math.sqrt(10)
    assert lines[-1].y[-1] == pytest.approx(values.mean())
    assert lines[-1].low[-1] == pytest.approx(values.mean() - half)
    assert lines[-1].n == [10] * 60


def test_shares_have_intervals_between_zero_and_one() -> None:
    mean, low, high, n = over_seeds(pd.Series([0.0, 0.0, 0.2]), (0.0, 1.0))
    assert (low, n) == (0.0, 3) and mean < high < 1
    assert math.isnan(over_seeds(pd.Series([0.3]))[1])


def test_a_mean_needs_two_seeds_at_a_step() -> None:
    rows = pd.DataFrame({"step": [0, 0, 5], "v": [1.0, 3.0, 9.0]})
    assert mean_curve(rows, "v")[["step", "mean", "n"]].to_numpy().tolist() == [[0, 2.0, 2]]


def test_step_zero_stands_left_of_a_break() -> None:
    axis = step_axis([0, 1_000, 999_424])
    assert axis["ticks"][0] == {"at": axis["zero"], "label": "0"}
    assert axis["zero"] < axis["cut"] < 3 == axis["ticks"][1]["at"]
    assert [tick["label"] for tick in axis["ticks"]] == ["0", "1k", "10k", "100k", "1M"]
    assert step_axis([10, 100])["cut"] is None
    assert step_axis([])["ticks"]
    assert [short(s) for s in (300, 16_384, 1.5e6, 2e9)] == ["300", "16.4k", "1.5M", "2B"]


def test_long_curves_are_thinned_to_some_of_their_rows() -> None:
    step = np.arange(1, 5001) * 100
    curve = pd.DataFrame({"step": step, "ret": np.sqrt(step)})
    kept = thin(curve)
    assert 100 < len(kept) <= 240
    assert kept["step"].iloc[[0, -1]].tolist() == [100, 500_000]
    assert (kept["ret"] == np.sqrt(kept["step"])).all()


def test_failed_estimates_are_in_no_path_and_no_text(data: StudyData) -> None:
    llc = data.table("llc").copy()
    last = llc["step"] == llc["step"].max()
    llc.loc[last, "llc"], llc.loc[last, "status"] = 1e6, "failed"
    bad = replace(data, tables=data.tables | {"llc": llc})
    drawn = {figure.id: figure for figure in all_figures(bad)}
    assert all(1e6 not in s.y and len(s.y) == 11 for s in drawn["staircase"].series)
    assert "1000000.0" not in drawn["llc"].alt


def test_the_page_says_only_of_arms_that_differ_that_they_do(data: StudyData) -> None:
    same = [replace(run, config={"train": {"coin": "end"}}) for run in data.runs]
    one = replace(data, runs=same, arms={arm: {} for arm in data.arms})
    for study, differ in ((data, True), (one, False)):
        page = build_report(study)
        assert ("differ in where the coin lay" in page) == differ
        assert ("returns are no common scale" in page) == differ
        assert "two detectors" not in page and "two arms train" not in page.lower()


def test_seeds_that_agree_do_not_make_a_share_certain() -> None:
    zero = pd.Series([0.0, 0.0, 0.0])
    mean, low, high, n = over_seeds(zero, (0.0, 1.0), (zero, zero + 0.06))  # Wilson of 0 of 60
    assert (mean, low, n) == (0.0, 0.0, 3) and high == pytest.approx(0.06 / np.sqrt(3))
    spread = pd.Series([0.2, 0.5, 0.8])  # seeds that differ count as they are
    plain, own = over_seeds(spread), over_seeds(spread, ends=(spread - 0.1, spread + 0.1))
    assert own == plain
    rows = pd.DataFrame({"step": 0, "v": [0.55, 0.55], "ci_low": 0.42, "ci_high": 0.67})
    assert mean_curve(rows, "v")["low"].item() == pytest.approx(0.55 - 0.13 / np.sqrt(2))
