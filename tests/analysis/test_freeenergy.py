"""Free energy, critical n and their intervals."""

import numpy as np
import pandas as pd
import pytest

from analysis.freeenergy import (
    Solution,
    compare_arms,
    critical_n,
    free_energy,
    preference,
    staircase,
)
from rl_slt import InputError


def test_critical_n_makes_the_free_energies_equal() -> None:
    n = critical_n(np.array([-0.01, -0.5, -1e-6]), np.array([10.0, 40.0, 1.0]))
    for d_loss, d_llc, at in zip([-0.01, -0.5, -1e-6], [10.0, 40.0, 1.0], n, strict=True):
        assert free_energy(d_loss, d_llc, at) == pytest.approx(0.0, abs=1e-6 * d_llc * np.log(at))
        assert free_energy(d_loss, d_llc, 2 * at) < 0 < free_energy(d_loss, d_llc, at / 2)


@pytest.mark.parametrize(("d_loss", "d_llc"), [(0.1, 1.0), (-0.1, -1.0), (0.0, 1.0), (-1.0, 1.0)])
def test_no_critical_n_where_one_is_always_preferred(d_loss: float, d_llc: float) -> None:
    assert np.isnan(critical_n(np.array(d_loss), np.array(d_llc)))


def test_simple_solution_comes_first_and_the_interval_grows_with_the_errors() -> None:
    proxy = Solution(0.05, 33.0, 0.0005, 0.5, "proxy")
    coin = Solution(0.01, 43.0, 0.0005, 0.5, "coin")
    found = preference(proxy, coin)
    assert (found.few, found.many) == ("proxy", "coin")
    assert found.low < found.critical_n < found.high
    assert found.share == 1.0
    wide = preference(Solution(0.05, 33.0, 0.005, 3.0), Solution(0.01, 43.0, 0.005, 3.0))
    assert wide.high - wide.low > 2 * (found.high - found.low)
    swapped = preference(coin, proxy)
    assert (swapped.few, swapped.critical_n) == ("proxy", pytest.approx(found.critical_n))


def test_a_solution_worse_in_both_is_never_preferred() -> None:
    found = preference(Solution(0.1, 40.0, name="worse"), Solution(0.05, 30.0, name="better"))
    assert np.isnan(found.critical_n)
    assert (found.few, found.many) == ("better", "better")
    assert found.share == 0.0


def test_interval_covers_the_truth_at_its_rate() -> None:
    rng = np.random.default_rng(0)
    truth = float(critical_n(np.array(-0.04), np.array(10.0)))
    hits = 0
    for k in range(200):
        a = Solution(0.05 + 0.002 * rng.standard_normal(), 33 + rng.standard_normal(), 0.002, 1.0)
        b = Solution(0.01 + 0.002 * rng.standard_normal(), 43 + rng.standard_normal(), 0.002, 1.0)
        found = preference(a, b, draws=500, seed=k)
        hits += found.low <= truth <= found.high
    assert 180 <= hits <= 199


@pytest.mark.parametrize("n", [0.0, 1.0, np.nan])
def test_too_few_samples_are_named(n: float) -> None:
    with pytest.raises(InputError, match="at least 2"):
        free_energy(0.1, 1.0, n)


def test_bad_solution_is_named() -> None:
    with pytest.raises(InputError, match="'x'"):
        Solution(np.nan, 1.0, name="x")


def llc_rows() -> pd.DataFrame:
    rows = []
    for arm, loss, llc in (("end", 0.05, 33.0), ("behind", 0.01, 43.0)):
        for seed in range(3):
            for step in (0, 100):
                for reference in ("self", "best"):
                    rows.append(
                        {"run": f"run {llc} {seed}", "arm": arm, "seed": seed, "step": step,
                         "loss": "kl", "reference": reference, "states": "frozen", "params": "all",
                         "llc": llc + 0.1 * seed, "llc_stderr": 0.2, "loss_init": loss,
                         "status": "ok"}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def test_staircase_holds_fixed_references_only() -> None:
    stairs = staircase(llc_rows())
    assert set(stairs["reference"]) == {"best"}
    assert len(stairs) == 12
    assert staircase(llc_rows().query("reference == 'self'")).empty


def test_error_of_the_loss_widens_the_interval() -> None:
    llc = llc_rows()
    old = staircase(llc)
    assert old["loss_stderr"].isna().all()  # a table from before the column
    stairs = staircase(llc.assign(loss_init_stderr=0.008, loss_stderr=99.0))
    assert (stairs["loss_stderr"] == 0.008).all()
    without, with_error = compare_arms(old).iloc[0], compare_arms(stairs).iloc[0]
    assert with_error["critical_n"] == without["critical_n"]
    assert np.log(with_error["high"] / with_error["low"]) > 2 * np.log(
        without["high"] / without["low"]
    )


def test_arms_are_compared_at_their_last_checkpoints() -> None:
    found = compare_arms(staircase(llc_rows()))
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["few"], row["many"], row["seeds"]) == ("end", "behind", 3)
    truth = float(critical_n(np.array(-0.04), np.array(10.0)))
    assert row["critical_n"] == pytest.approx(truth, rel=1e-6)
    assert row["low"] < truth < row["high"]
    assert compare_arms(staircase(llc_rows().iloc[:0])).empty
