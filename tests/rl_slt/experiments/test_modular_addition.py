"""The page of modular addition: what it says where estimates or trainings did not succeed."""

from pathlib import Path

import pandas as pd
import pytest

from rl_slt.experiments.modular_addition import llc, page, run_of, train

P = (23, 53)


def tables(status: str = "ok", matched: bool = True) -> dict[str, pd.DataFrame]:
    """A net a modulus with weight decay that generalizes, and one without at p = 53."""
    nets = [(p, 2e-4, 100, 0.01, 1.0) for p in P] + [(53, 0.0, 50, 0.009, 0.0)] * matched
    keys = ["p", "weight_decay", "step", "train_loss", "test_accuracy"]
    progress = pd.DataFrame(nets, columns=keys).assign(train_seed=0, test_loss=0.1)
    found = progress[["p", "train_seed", "weight_decay", "step"]].assign(
        matched=progress["weight_decay"].eq(0), loss="cross-entropy", llc=float("nan"),
        llc_stderr=float("nan"), status=status, relative_temperature=1.0,
    )  # fmt: skip
    if status != "failed":
        found = found.assign(llc=20.0, llc_stderr=1.0)
    return {"progress": progress, "llc": found}


@pytest.mark.parametrize("status", ["ok", "suspect", "failed"])
def test_a_net_generalizes_whatever_its_llc_is(status: str) -> None:
    told = page(tables(status)).statements
    assert told[0].startswith("2 of 2 nets") and "p = 23: 1 of 1, p = 53: 1 of 1" in told[0]
    assert not any("nan" in line for line in told)
    assert ("none (failed)" in told[-1]) == (status == "failed")


def test_a_net_without_its_like_is_said_to_have_none() -> None:
    told = page(tables(matched=False)).statements
    assert "seed 0: no checkpoint without weight decay" in told[-1]


def test_where_no_checkpoint_has_as_little_loss_there_is_no_row(tmp_path: Path) -> None:
    for decay, steps in ((2e-4, 40), (0.0, 2)):
        train(tmp_path, 5, 0, decay, steps)
    table = llc(tmp_path, 5, 0, 0.0, 1, at_loss=run_of(Path(), 5, 0, 2e-4).name)
    assert table.empty
    table.to_parquet(tmp_path / "empty.parquet")
    assert pd.read_parquet(tmp_path / "empty.parquet").empty
