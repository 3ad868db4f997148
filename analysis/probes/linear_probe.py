"""The internal probe: readout of the coin's side on the states of the counterfactual probe."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from analysis.probes.counterfactual import CounterfactualStates
from analysis.probes.readout import read_direction
from analysis.schema import conform

PROBE = "readout"
MIN_LEVELS = 20  # under which four fifths of the levels are too few to learn a readout from


def run_readout(
    policy: torch.nn.Module,
    states: CounterfactualStates,
    *,
    layers: tuple[str, ...] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Linear readout of whether the coin lies left or right, from each layer of a network.

    Frames: one state per level, the coin once on every column in view where it can lie. Levels
    are never shared between training and test of the readout.

    Args:
        policy: a network over uint8 frames; left unchanged.
        states: from `counterfactual_states`.
        layers: names of modules; default all without parts of their own.
        seed: of random projections and of the untrained network.

    Returns:
        As `read_direction`.
    """
    moved = states.part(states.table["condition"] == "moved")
    side = np.sign(moved.table["dx"]).to_numpy(dtype=np.int64)
    levels = moved.table["level_seed"].to_numpy(dtype=np.int64)
    return read_direction(policy, moved.frames, side, levels, layers=layers, seed=seed)


def readout_rows(table: pd.DataFrame, *, run: str = "", step: int | None = None) -> pd.DataFrame:
    """`run_readout` in the columns of the table `probes`.

    Metrics `accuracy:trained:LAYER`, `accuracy:untrained:LAYER`,
    `accuracy:observation:observation` and `gain:LAYER`.
    """
    source, layer = table["source"], table["layer"]
    gain = source == "gain"
    rows = pd.DataFrame({
        "probe": PROBE, "metric": ("gain:" + layer).where(gain, "accuracy:" + source + ":" + layer),
        "value": table["accuracy"], "ci_low": table["ci_low"], "ci_high": table["ci_high"],
        "n": table["n"], "run": run, "note": "",
    })  # fmt: skip
    return conform("probes", rows.assign(step=pd.array([step] * len(rows), dtype="Int64")))
