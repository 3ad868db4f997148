"""Which rows of `llc` and `probes` make a series."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import agents
from analysis import change_stderr, current_setting, detect_transitions, probe_stderr, schema
from analysis.probes import wilson
from analysis.series import (
    arms_of_runs,
    goal_rows,
    interval_stderr,
    llc_series,
    llc_table,
    probe_series,
    series_parts,
)


def llc_rows(**columns: object) -> pd.DataFrame:
    base = {"run": "a-s0", "seed": 0, "loss": "kl", "reference": "self", "states": "frozen",
            "params": "all", "sampler": "sgld", "chains": 4, "llc_stderr": 0.1,
            "status": "ok", "loss_init": 0.0}  # fmt: skip
    return pd.DataFrame(base | columns)


def test_the_setting_that_covers_most_checkpoints_counts() -> None:
    full = llc_rows(step=[0, 10, 20], llc=[1.0, 2.0, 3.0], chains=4)
    part = llc_rows(step=[0, 10], llc=[7.0, 8.0], chains=8)
    assert llc_series(pd.concat([full, part]))["value"].tolist() == [1, 2, 3]
    later = llc_rows(step=[0, 10, 20], llc=[4.0, 5.0, 6.0], chains=8)
    assert llc_series(pd.concat([full, later]))["value"].tolist() == [4, 5, 6]
    assert llc_series(pd.concat([later, full]))["value"].tolist() == [1, 2, 3]


def named(setting: str, created: object, steps: tuple[int, ...] = (0, 10)) -> pd.DataFrame:
    return llc_rows(step=list(steps), llc=1.0, setting_id=setting, created=created)


def chosen(*parts: pd.DataFrame, asked: tuple[str, ...] = ()) -> str:
    (setting,) = set(current_setting(pd.concat(parts), asked=asked)["setting_id"])
    return str(setting)


def test_one_rule_tells_which_setting_counts() -> None:
    old, new, short = named("old", 1.0), named("new", 2.0), named("short", 3.0, (0,))
    for parts in ([old, new, short], [short, new, old], [new, old, short]):
        assert chosen(*parts) == "new"  # of those with most checkpoints the one made last
        assert chosen(*parts, asked=("old",)) == "old"
        assert chosen(*parts, asked=("short",)) == "new"
    assert chosen(named("a", "2026-01-02T00:00:00"), named("b", "2026-01-01T00:00:00")) == "a"
    assert chosen(named("a", None), named("b", None)) == "b"
    assert chosen(named("a", 1.0), named("b", None)) == "a"


def test_each_run_and_series_has_a_setting_of_its_own() -> None:
    other = named("other", 0.0).assign(run="b-s0")
    nll = named("nll", 0.0, (0,)).assign(loss="nll")
    rows = current_setting(pd.concat([other, named("new", 2.0), nll, named("old", 1.0)]))
    assert rows["setting_id"].tolist() == ["other", "other", "new", "new", "nll"]
    assert rows.index.tolist() == [0, 1, 2, 3, 4]
    assert current_setting(rows.iloc[:0]).empty


def test_a_setting_made_last_counts_wherever_it_stands_in_the_table() -> None:
    new, old = named("a", 2.0).assign(llc=5.0), named("b", 1.0).assign(llc=7.0)
    assert llc_series(pd.concat([new, old]))["value"].tolist() == [5, 5]


def test_last_estimate_of_a_checkpoint_counts_and_failed_ones_are_missing() -> None:
    rows = llc_rows(step=[10, 0, 10], llc=[1.0, 2.0, 3.0], status=["ok", "failed", "suspect"])
    series = llc_series(rows)
    assert series["step"].tolist() == [0, 10]
    assert np.isnan(series["value"][0])
    assert series["value"][1] == 3.0


def test_series_are_named_by_what_they_measure() -> None:
    rows = llc_rows(
        step=[0, 0, 0],
        llc=[1.0, 2.0, 3.0],
        reference=["self", "final", "self"],
        params=["all", "all", "head"],
    )
    table = llc_table(rows)
    assert set(table["series"]) == {"kl/frozen", "kl/frozen/final", "kl/frozen/head"}
    assert table.set_index("series")["fixed"].to_dict() == {
        "kl/frozen": False, "kl/frozen/final": True, "kl/frozen/head": False,
    }  # fmt: skip


def test_a_control_at_matched_entropy_is_a_series_of_its_own() -> None:
    rows = llc_rows(
        step=[0, 10, 0, 10],
        llc=[1.0, 2.0, 8.0, 9.0],
        matched_entropy=[np.nan, np.nan, 1.25, 1.25],
        setting_id=["own", "own", "matched", "matched"],
    )
    assert len(current_setting(rows)) == 4
    found = llc_table(rows).groupby("series")["llc"].agg(list).to_dict()
    assert found == {"kl/frozen": [1.0, 2.0], "kl/frozen/matched=1.25": [8.0, 9.0]}
    assert set(series_parts(rows)["matched_entropy"]) == {"", "matched=1.25"}
    assert set(series_parts(rows)["reference"]) == {""}


def test_another_gauge_or_other_actions_are_another_setting() -> None:
    rows = llc_rows(step=[0, 10, 0, 10], llc=[1.0, 2.0, 3.0, 4.0])
    for column, values in (("gauge", ["none", "balanced"]), ("actions", ["all", "distinct"])):
        two = rows.assign(**{column: np.repeat(values, 2)})
        assert llc_series(two)["value"].tolist() == [3.0, 4.0]
        assert len(current_setting(two)) == 2


def test_an_interval_holds_the_error_over_states_where_it_is_known() -> None:
    rows = llc_rows(step=[0, 10], llc=1.0)
    assert interval_stderr(rows).tolist() == [0.1, 0.1]
    total = interval_stderr(rows.assign(llc_stderr_total=[0.5, np.nan]))
    assert total.tolist() == [0.5, 0.1]


def test_changes_on_frozen_states_leave_out_the_error_that_checkpoints_share() -> None:
    known: dict[str, object] = {"step": [0, 10], "llc": 1.0, "llc_stderr_total": [0.5, np.nan]}
    for states, errors in (
        ("frozen:behind", [0.1, 0.1]), ("on-policy", [0.5, 0.1]), ("probe:end", [0.5, 0.1]),
    ):  # fmt: skip
        rows = llc_rows(states=states, **known)
        assert change_stderr(rows).tolist() == errors
        assert llc_series(rows)["stderr"].tolist() == errors


def test_probe_errors_come_from_the_interval_and_baselines_are_left_out() -> None:
    probes = pd.DataFrame(
        {"run": "a-s1", "step": pd.array([5, None], dtype="Int64"), "probe": "end",
         "metric": "coin", "value": [0.5, 0.9], "ci_low": [0.304, 0.8], "ci_high": [0.696, 1.0]}
    )  # fmt: skip
    series = probe_series(probes)
    assert len(series) == 1
    assert abs(series["stderr"][0] - 0.1) < 1e-3
    assert series["arm"][0] == "unnamed"
    assert probe_series(probes.assign(arm="b"))["arm"][0] == "b"


def test_of_greedy_and_sampled_actions_the_sampled_count() -> None:
    """They stand side by side in the table, whichever was made last."""
    rows = {"run": "a-s0", "step": 0, "probe": "behind", "metric": "coin_rate"}
    probes = pd.DataFrame(
        [rows | {"mode": mode, "value": value} for mode, value in (("sampled", 0.4), ("greedy", 1))]
    )
    assert probe_series(probes)["value"].tolist() == [0.4]
    assert goal_rows(probes)["value"].tolist() == [0.4]
    assert goal_rows(probes[1:])["value"].tolist() == [1.0]


def rates(hits: NDArray[np.int_], n: int) -> pd.DataFrame:
    low, high = np.array([wilson(int(k), n) for k in hits]).T
    return pd.DataFrame({"value": hits / n, "ci_low": low, "ci_high": high, "n": n})


def test_the_error_of_a_share_is_that_of_its_levels() -> None:
    found = probe_stderr(rates(np.array([0, 4, 8]), 8))
    assert found[1] == pytest.approx(np.sqrt(0.25 / 7))
    assert found[0] == found[2] == pytest.approx(np.sqrt(0.25 * 0.75 / 7))
    large = probe_stderr(rates(np.array([3000]), 10_000))
    assert large[0] == pytest.approx(np.sqrt(0.21 / 10_000), rel=1e-3)
    score = rates(np.array([4]), 8).assign(ci_low=0.1, ci_high=0.9)  # no Wilson interval
    assert probe_stderr(score)[0] == pytest.approx(0.8 / 3.92, rel=1e-3)


@pytest.mark.parametrize(("n", "p"), [(8, 0.3), (8, 0.5), (16, 0.4)])
def test_constant_rates_of_few_levels_are_not_called_changing(n: int, p: float) -> None:
    """By the widths of their intervals 13, 19 and 13 % are."""
    count, draws = 120, np.random.default_rng(n).binomial(n, p, size=(120, 12))
    said = [
        len(detect_transitions(np.arange(12), of["value"], probe_stderr(of))) > 0
        for of in (rates(hits, n) for hits in draws)
    ]
    assert np.mean(said) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / count)


def test_the_arm_is_what_the_tables_say_never_the_name_of_the_run() -> None:
    one = pd.DataFrame({"run": ["end-s0", "end-s1"], "arm": [pd.NA, "behind"]})
    assert arms_of_runs(one) == {"end-s0": "unnamed", "end-s1": "behind"}
    assert arms_of_runs(one.drop(columns="arm")) == {"end-s0": "unnamed", "end-s1": "unnamed"}
    two = pd.DataFrame({"run": ["end-s0", "end-s1"], "arm": ["end", "unnamed"]})
    assert arms_of_runs(one, two) == {"end-s0": "end", "end-s1": "behind"}


def test_a_run_without_an_arm_is_called_alike_in_its_file_and_its_tables() -> None:
    assert agents.UNNAMED == schema.UNNAMED
