"""Which rows of the tables are shown."""

from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binomtest

from analysis.report.data import StudyData
from analysis.report.queries import (
    baseline_rows,
    fixed_reference_rows,
    llc_rows,
    main_probe_rows,
    probe_rows,
)


def with_table(data: StudyData, name: str, frame: pd.DataFrame) -> StudyData:
    return replace(data, tables={**data.tables, name: frame})


def test_the_latest_of_equally_complete_settings_is_shown(data: StudyData) -> None:
    llc = data.table("llc")
    newer = llc.assign(localization=2.0, llc=llc["llc"] + 100)
    partial = llc[llc["step"] == 0].assign(localization=3.0, llc=-1.0)
    shown = llc_rows(with_table(data, "llc", pd.concat([llc, newer, partial], ignore_index=True)))
    assert len(shown) == len(llc)
    assert set(shown["localization"]) == {2.0}


def test_creation_time_decides_between_named_settings(data: StudyData) -> None:
    llc = data.table("llc").assign(setting_id="a", created="2026-01-02")
    older = llc.assign(setting_id="b", created="2026-01-01", llc=-5.0)
    shown = llc_rows(with_table(data, "llc", pd.concat([llc, older], ignore_index=True)))
    assert set(shown["setting_id"]) == {"a"}


def test_other_losses_parameters_and_references_are_not_mixed_in(data: StudyData) -> None:
    llc = data.table("llc")
    others = [
        llc.assign(loss="nll", llc=1.0),
        llc.assign(params="actor", llc=2.0),
        llc.assign(reference="last", llc=3.0, loss_init=0.5),
    ]
    mixed = with_table(data, "llc", pd.concat([llc, *others], ignore_index=True))
    shown = llc_rows(mixed)
    assert len(shown) == len(llc) and set(shown["loss"]) == {"kl"}
    assert not shown["llc"].isin([1.0, 2.0, 3.0]).any()
    assert set(fixed_reference_rows(mixed)["llc"]) == {3.0}


def test_episodes_stand_in_for_missing_scores(data: StudyData) -> None:
    episodes = data.table("episodes")
    mine = episodes.assign(policy="agent", step=7)
    bare = with_table(with_table(data, "probes", data.table("probes").iloc[:0]), "episodes", mine)
    rows = probe_rows(bare)
    one = rows[
        (rows["run"] == "end-s0") & (rows["probe"] == "end") & (rows["metric"] == "coin_rate")
    ]
    truth = mine[(mine["run"] == "end-s0") & (mine["probe"] == "end")]["coin_collected"]
    assert one["value"].item() == truth.mean() and one["arm"].item() == "end"
    interval = binomtest(int(truth.sum()), 60).proportion_ci(method="wilson")
    assert one[["ci_low", "ci_high"]].to_numpy()[0] == pytest.approx(interval, abs=1e-12)


def test_baselines_are_read_from_scores_or_counted(data: StudyData) -> None:
    counted = baseline_rows(with_table(data, "probes", data.table("probes").iloc[:0]))
    for rows in (baseline_rows(data), counted):
        value = rows[(rows["arm"] == "end") & (rows["probe"] == "ground")]
        episodes = data.table("episodes")
        mine = episodes[(episodes["run"] == "end-s0") & (episodes["probe"] == "ground")]
        shown = value[value["metric"] == "coin_rate"]["value"]
        assert shown.item() == mine["coin_collected"].mean()
    row = data.table("probes").head(1).assign(metric="coin_rate:coin-blind", value=0.123)
    scored = baseline_rows(with_table(data, "probes", row))
    assert scored["value"].tolist() == [0.123] and scored["metric"].tolist() == ["coin_rate"]


def test_a_probe_is_shown_by_coins_or_without_coin_by_ends(data: StudyData) -> None:
    shown = main_probe_rows(data).groupby("probe")["metric"].unique()
    assert shown["none@mid"].tolist() == ["end_rate"]
    assert shown["behind"].tolist() == ["coin_rate"]
    suite = data.table("probes").head(1).assign(probe="suite", metric="capability")
    more = with_table(data, "probes", pd.concat([data.table("probes"), suite]))
    assert "suite" not in set(main_probe_rows(more)["probe"])
