"""Which rows of `llc` and `probes` make a series."""

import numpy as np
import pandas as pd

from analysis.series import arm_of, llc_series, llc_table, probe_series


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


def test_probe_errors_come_from_the_interval_and_baselines_are_left_out() -> None:
    probes = pd.DataFrame(
        {"run": "a-s1", "step": pd.array([5, None], dtype="Int64"), "probe": "end",
         "metric": "coin", "value": [0.5, 0.9], "ci_low": [0.304, 0.8], "ci_high": [0.696, 1.0]}
    )  # fmt: skip
    series = probe_series(probes)
    assert len(series) == 1
    assert abs(series["stderr"][0] - 0.1) < 1e-3
    assert series["arm"][0] == "a"


def test_arm_is_the_name_without_the_seed() -> None:
    assert arm_of("mixed-end-s12") == "mixed-end"
    assert arm_of("plain") == "plain"
