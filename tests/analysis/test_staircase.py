"""Loss and LLC to one fixed reference, where the LLC is defined."""

import pandas as pd

from analysis import staircase


def llc_rows() -> pd.DataFrame:
    """Two runs with two checkpoints, to the checkpoint itself and to a fixed reference."""
    return pd.DataFrame(
        {"run": run, "arm": run, "seed": 0, "step": step, "loss": "kl", "reference": reference,
         "states": "frozen", "params": "all", "llc": llc, "llc_stderr": 0.2, "loss_init": 0.05,
         "loss_init_stderr": 0.008, "status": "ok"}
        for run, llc in (("end", 33.0), ("behind", 43.0))
        for step in (0, 100)
        for reference in ("self", "best")
    )  # fmt: skip


def test_staircase_holds_fixed_references_only() -> None:
    stairs = staircase(llc_rows())
    assert set(stairs["reference"]) == {"best"} and len(stairs) == 4
    assert (stairs["loss_stderr"] == 0.008).all()
    assert staircase(llc_rows().query("reference == 'self'")).empty
    old = staircase(llc_rows().drop(columns="loss_init_stderr"))  # a table from before the column
    assert old["loss_stderr"].isna().all()


def test_a_checkpoint_that_is_no_minimum_has_no_step() -> None:
    rows = llc_rows()
    lost = (rows["run"] == "end") & (rows["step"] == 0)  # and a number was written all the same
    rows["status"] = rows["status"].mask(lost, "failed")
    rows["llc"] = rows["llc"].mask(lost, -14.0).mask(rows["run"] == "behind")
    stairs = staircase(rows)
    assert stairs[["run", "step", "llc"]].values.tolist() == [["end", 100, 33.0]]
