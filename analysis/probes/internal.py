"""The internal probe: readout of the coin's side on the states of the counterfactual probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from analysis.probes.counterfactual import counterfactual_states
from analysis.probes.readout import read_direction
from analysis.probes.suite import ProbeSuite
from analysis.schema import conform

PROBE = "readout"


def run_readout(
    policy: torch.nn.Module,
    suite: ProbeSuite,
    *,
    n_levels: int = 100,
    layers: tuple[str, ...] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Linear readout of whether the coin lies left or right, from each layer of a network.

    Frames: the agent at its mid-level start on each level, the coin once on every column in view
    where it can lie. Levels are never shared between training and test of the readout.

    Args:
        policy: a network over uint8 frames; left unchanged.
        suite: held-out levels and their look.
        n_levels: the first ones of the suite.
        layers: names of modules; default all without parts of their own.
        seed: of random projections and of the untrained network.

    Returns:
        As `read_direction`.
    """
    states = counterfactual_states(replace(suite, n_levels=min(n_levels, suite.n_levels)))
    moved = (states.table["condition"] == "moved").to_numpy()
    table = states.table[moved]
    side = np.sign(table["dx"]).to_numpy(dtype=np.int64)
    levels = table["level_seed"].to_numpy(dtype=np.int64)
    return read_direction(policy, states.frames[moved], side, levels, layers=layers, seed=seed)


def readout_rows(table: pd.DataFrame, *, run: str = "", step: int | None = None) -> pd.DataFrame:
    """`run_readout` in the columns of the table `probes`: metric `accuracy:SOURCE:LAYER`."""
    rows = pd.DataFrame({
        "probe": PROBE, "metric": "accuracy:" + table["source"] + ":" + table["layer"],
        "value": table["accuracy"], "ci_low": table["ci_low"], "ci_high": table["ci_high"],
        "n": table["n"], "run": run, "mode": "", "note": "",
    })  # fmt: skip
    return conform("probes", rows.assign(step=pd.array([step] * len(rows), dtype="Int64")))
