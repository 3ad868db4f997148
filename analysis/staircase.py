"""Loss and LLC to one fixed reference along training: the opposing staircases."""

from __future__ import annotations

import pandas as pd

from analysis.schema import own_columns
from analysis.series import llc_table


def staircase(llc: pd.DataFrame) -> pd.DataFrame:
    """Loss and LLC of every checkpoint to one fixed reference: the opposing staircases.

    The two are shown side by side and not summed to `n L + lambda log n`: that is the free energy
    of the loss that learning descends, and agreement with another policy is none.

    Args:
        llc: table `llc`. Left out are rows whose reference is the checkpoint itself, which have no
            loss to speak of, and checkpoints that are no minimum of the loss, which have no LLC.
            The loss is that at the checkpoint, `loss_init`; its sampling error over states,
            `loss_init_stderr`, is used where the table has that column.

    Returns:
        Columns run, arm, series, reference, states, step, loss, loss_stderr, llc, llc_stderr, by
        step; no rows where no estimate has a fixed reference.
    """
    table = llc_table(llc)
    table = table[table["fixed"] & table["llc"].notna() & table["loss_init"].notna()]
    out = table.rename(columns={"loss_init": "loss", "loss_init_stderr": "loss_stderr"})
    return out[["run", "arm", *own_columns("staircase")]].reset_index(drop=True)
