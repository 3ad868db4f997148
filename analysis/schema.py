"""The one place that says which columns the tables of a run have.

Writers call `conform` before they store a table; readers may rely on the columns and their kinds.
More columns may follow the ones listed here. Kinds: `s` text, `i` integer (nullable), `f` float,
`b` true or false (nullable).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from rl_slt import InputError

_KINDS: dict[str, Any] = {"s": "string", "i": "Int64", "f": "float64", "b": "boolean"}

TABLES: dict[str, dict[str, str]] = {
    "llc": {
        "run": "s", "seed": "i", "step": "i", "estimate_id": "s", "loss": "s", "reference": "s",
        "states": "s", "params": "s", "sampler": "s", "step_size": "f", "nbeta": "f",
        "localization": "f", "n_states": "i", "chains": "i", "draws": "i", "burn_in": "i",
        "chain_seed": "i", "llc": "f", "llc_stderr": "f", "llc_stderr_data": "f", "rhat": "f",
        "ess": "f", "loss_init": "f", "loss_mean": "f", "status": "s", "message": "s",
        "seconds": "f",
    },
    "llc_draws": {
        "run": "s", "step": "i", "estimate_id": "s", "loss": "s", "states": "s", "chain": "i",
        "draw": "i", "loss_value": "f",
    },
    "episodes": {
        "run": "s", "step": "i", "policy": "s", "mode": "s", "probe": "s", "placement": "s",
        "level_seed": "i", "ret": "f", "length": "i", "outcome": "s", "death_cause": "s",
        "coin_collected": "b", "end_reached": "b", "first": "s",
    },
    "probes": {
        "run": "s", "step": "i", "probe": "s", "metric": "s", "value": "f", "ci_low": "f",
        "ci_high": "f", "n": "i",
    },
    "counterfactual": {
        "run": "s", "step": "i", "side": "s", "distance": "i", "metric": "s", "value": "f",
        "ci_low": "f", "ci_high": "f", "n": "i",
    },
    "transitions": {
        "run": "s", "series": "s", "detector": "s", "step": "f", "step_low": "f",
        "step_high": "f", "kind": "s", "change": "f",
    },
    "associations": {
        "run": "s", "llc_series": "s", "probe": "s", "metric": "s", "statistic": "s",
        "value": "f", "lag": "f", "p_value": "f", "q_value": "f", "n": "i",
    },
    "covariates": {
        "run": "s", "step": "i", "entropy": "f", "weight_norm": "f", "return": "f",
        "step_kl": "f",
    },
    "staircase": {
        "run": "s", "arm": "s", "series": "s", "reference": "s", "states": "s", "step": "i",
        "loss": "f", "loss_stderr": "f", "llc": "f", "llc_stderr": "f",
    },
    "predictions": {
        "run": "s", "llc_series": "s", "probe": "s", "metric": "s", "horizon": "i", "model": "s",
        "features": "s", "rmse": "f", "r2": "f", "gain": "f", "gain_low": "f", "gain_high": "f",
        "p_value": "f", "q_value": "f", "seeds": "i", "n": "i", "note": "s",
    },
    "path_dependence": {
        "run": "s", "feature": "s", "step": "i", "probe": "s", "metric": "s", "accuracy": "f",
        "chance": "f", "p_value": "f", "q_value": "f", "n": "i", "cut": "f", "note": "s",
    },
    "free_energy": {
        "run": "s", "series": "s", "a": "s", "b": "s", "delta_loss": "f", "delta_llc": "f",
        "critical_n": "f", "low": "f", "high": "f", "share": "f", "few": "s", "many": "s",
        "seeds": "i",
    },
}  # fmt: skip

ALL_RUNS = "*"  # stands in the column `run` of statistics over runs
OVER_RUNS = ("associations", "predictions", "path_dependence", "free_energy")  # of a study


def empty(table: str) -> pd.DataFrame:
    """A table of that name without rows."""
    columns = _columns(table)
    return pd.DataFrame({name: pd.array([], dtype=_KINDS[k]) for name, k in columns.items()})


def conform(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the table's columns first, in order and of their kinds.

    Raises:
        InputError: if a column is missing or holds values of another kind.
    """
    columns = _columns(table)
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"table {table!r} lacks the columns {', '.join(missing)}")
    out = frame[[*columns, *(c for c in frame.columns if c not in columns)]].copy()
    for name, kind in columns.items():
        try:
            out[name] = out[name].astype(_KINDS[kind])
        except (TypeError, ValueError) as error:
            raise InputError(f"table {table!r}, column {name!r}: {error}") from error
    return out.reset_index(drop=True)


def _columns(table: str) -> dict[str, str]:
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; allowed: {', '.join(TABLES)}")
    return TABLES[table]
