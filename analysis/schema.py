"""The one place that says which columns the tables of a run have.

Writers call `conform` before they store a table; readers may rely on the columns and their kinds.
More columns may follow the ones listed here. Kinds: `s` text, `i` integer (nullable), `f` float,
`b` true or false (nullable).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from rl_slt import InputError

_KINDS: dict[str, Any] = {
    "s": pd.StringDtype(), "i": pd.Int64Dtype(), "f": np.dtype(float), "b": pd.BooleanDtype()
}  # fmt: skip

# The columns of each table with their kinds. All begin with whose row it is and the arm that this
# run belongs to, and end with the version in `rl_slt/versions.py` of what made the row.
_OWN: dict[str, str] = {
    "llc": """
        seed:i step:i estimate_id:s loss:s reference:s states:s params:s sampler:s step_size:f
        nbeta:f localization:f n_states:i chains:i draws:i burn_in:i chain_seed:i llc:f
        llc_stderr:f llc_stderr_states:f llc_stderr_total:f llc_stderr_data:f rhat:f ess:f
        loss_init:f loss_mean:f status:s message:s seconds:f precision:s device:s threads:i gauge:s
        actions:s entropy:f information:f logit_scale:f matched_entropy:f trace:f
        relative_temperature:f kl:f half_d_eff:f half_d_eff_stderr:f free_energy:f
        free_energy_stderr:f
        gradient_norm:f minimum:f sample_unit:s""",
    "profile": """
        seed:i step:i estimate_id:s setting_id:s states:s loss:s reference:s params:s n_states:i
        nbeta:f localization:f relative_temperature:f llc:f llc_stderr:f half_d_eff:f
        half_d_eff_stderr:f kl:f free_energy:f free_energy_stderr:f slope:f slope_stderr:f status:s
        message:s verdict:s seconds:f precision:s device:s gauge:s actions:s""",
    "contributions": """
        seed:i step:i estimate_id:s setting_id:s loss:s states:s of_states:s samples:i share:f
        value:f stderr:f dof:i draws:i status:s""",
    "influence": """
        seed:i step:i estimate_id:s setting_id:s loss:s states:s probe:s of_states:s samples:i
        share:f influence:f stderr:f correlation:f correlation_stderr:f dof:i distinct:f
        draws:i status:s""",
    "susceptibilities": """
        seed:i step:i estimate_id:s setting_id:s loss:s states:s component:s weights:i perturb:s
        observable:s value:f stderr:f dof:i llc:f llc_stderr:f nbeta:f localization:f draws:i
        status:s message:s seconds:f""",
    "volume": """
        seed:i step:i estimate_id:s setting_id:s loss:s states:s quantity:s method:s nbeta:f
        localization:f relative_temperature:f cutoff:f radius:f keep:f score:f score_stderr:f
        free_energy:f free_energy_stderr:f minus_log_share:f minus_log_share_stderr:f dof:i
        bias:f ess:f directions:i status:s message:s""",
    "steering": """
        step:i module:s side:s strength:f probe:s metric:s change:s value:f ci_low:f ci_high:f
        without:f least:f most:f n:i""",
    "llc_draws": "step:i estimate_id:s loss:s states:s chain:i draw:i loss_value:f",
    "episodes": """
        step:i policy:s mode:s probe:s placement:s level_seed:i ret:f length:i outcome:s
        death_cause:s coin_collected:b end_reached:b first:s""",
    "probes": "step:i probe:s metric:s value:f ci_low:f ci_high:f n:i",
    "counterfactual": "step:i side:s distance:i metric:s value:f ci_low:f ci_high:f n:i",
    "transitions": "series:s detector:s step:f step_low:f step_high:f kind:s change:f",
    "associations": """
        llc_series:s probe:s metric:s statistic:s value:f lag:f p_value:f q_value:f n:i""",
    "covariates": "step:i entropy:f weight_norm:f return:f step_kl:f teacher_kl:f final:b",
    "staircase": "series:s reference:s states:s step:i loss:f loss_stderr:f llc:f llc_stderr:f",
    "predictions": """
        llc_series:s probe:s metric:s horizon:i model:s features:s rmse:f r2:f gain:f gain_low:f
        gain_high:f p_value:f p_adjusted:f q_value:f smallest_effect:f seeds:i n:i note:s""",
    "hypotheses": """
        hypothesis:s role:s statistic:s value:f ci_low:f ci_high:f p_value:f p_adjusted:f n:i
        smallest_effect:f kind:s direction:s series:s metric:s q_value:f message:s""",
    "path_dependence": """
        feature:s step:i probe:s metric:s accuracy:f chance:f
        p_value:f p_adjusted:f q_value:f smallest_effect:f n:i cut:f note:s""",
}
TABLES: dict[str, dict[str, str]] = {
    name: dict(column.split(":") for column in f"run:s arm:s {own} version:i".split())
    for name, own in _OWN.items()
}

ALL_RUNS = "*"  # stands in `run` of statistics over runs, and in `arm` where they are over arms
UNNAMED = "unnamed"  # stands in `arm` where neither a study nor `--arm` named it
# What stands in columns that a table may lack: one of others, or one that an analysis returns.
DEFAULTS: dict[str, Any] = {
    "arm": UNNAMED, "version": pd.NA, "precision": pd.NA, "device": pd.NA, "threads": pd.NA,
    "gauge": pd.NA, "actions": pd.NA, "llc_stderr_states": math.nan, "llc_stderr_total": math.nan,
    "entropy": math.nan, "information": math.nan, "logit_scale": math.nan,
    "matched_entropy": math.nan, "trace": math.nan, "relative_temperature": math.nan,
    "kl": math.nan, "half_d_eff": math.nan, "half_d_eff_stderr": math.nan, "free_energy": math.nan,
    "free_energy_stderr": math.nan, "gradient_norm": math.nan, "minimum": math.nan,
    "sample_unit": pd.NA, "dof": pd.NA, "teacher_kl": math.nan, "final": pd.NA,
    "p_adjusted": math.nan, "smallest_effect": math.nan,
}  # fmt: skip
OVER_RUNS = ("associations", "predictions", "path_dependence", "hypotheses")  # of a study
DERIVED = ("transitions", "staircase", *OVER_RUNS)  # made again by each analysis, from the others


_OF_THE_LLC = ("llc", "slope", "free_energy")  # and what begins so: errors of these


def own_columns(table: str) -> list[str]:
    """The table's columns but for run, arm and version, which whoever writes it puts in."""
    return list(_columns(table))[2:-1]


def measured_columns(table: str) -> list[str]:
    """The table's columns of real numbers.

    Args:
        table: its name, as `llc`.
    """
    return [name for name, kind in _columns(table).items() if kind == "f"]


def empty(table: str) -> pd.DataFrame:
    """A table of that name without rows."""
    return _empty(table).copy()


@cache
def _empty(table: str) -> pd.DataFrame:
    columns = _columns(table)
    return pd.DataFrame({name: pd.array([], dtype=_KINDS[k]) for name, k in columns.items()})


def conform(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the table's columns first, in order and of their kinds.

    Analyses need not know of arms and versions: whoever writes a run's tables puts them in.

    Args:
        table: name of the table.
        frame: its rows; it may lack the columns in `DEFAULTS`.

    Returns:
        A copy; further columns follow the table's own as they are. Where an LLC is not defined it
        holds no number of it (`only_defined`).

    Raises:
        InputError: if a column is missing or holds values of another kind.
    """
    columns, frame = _columns(table), frame.reset_index(drop=True)
    missing = [name for name in columns if name not in frame and name not in DEFAULTS]
    if missing:
        raise InputError(f"table {table!r} lacks the columns {', '.join(missing)}")
    out: dict[Hashable, pd.Series] = {}
    for name, kind in columns.items():
        known = frame[name] if name in frame else pd.Series(DEFAULTS[name], frame.index, object)
        known = known.fillna(UNNAMED) if name == "arm" else known
        try:
            out[name] = known if known.dtype == _KINDS[kind] else known.astype(_KINDS[kind])
        except (TypeError, ValueError) as error:
            raise InputError(f"table {table!r}, column {name!r}: {error}") from error
    return only_defined(pd.DataFrame(out | {c: frame[c] for c in frame if c not in columns}))


def only_defined(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table without numbers where an LLC is not defined: the status is `failed`.

    Earlier versions called it `suspect` where the LLC is below zero by more than two errors: w* was
    no minimum of the loss. These are taken for failed.
    """
    if not {"status", "llc", "llc_stderr"} <= set(frame):
        return frame
    below = frame["llc"].astype("float64") < -2 * frame["llc_stderr"].astype("float64")
    status = frame["status"].astype("string").fillna("")
    fallen = (status == "suspect") & below
    lost = (status == "failed") | fallen
    if not lost.any():
        return frame
    out = frame.assign(status=frame["status"].mask(fallen, "failed"))
    if "message" in frame:  # theirs holds the number
        out["message"] = frame["message"].mask(fallen, "w* is no minimum of the loss")
    for name in (name for name in frame if str(name).startswith(_OF_THE_LLC)):
        out[name] = frame[name].mask(lost)
    return out


def _columns(table: str) -> dict[str, str]:
    if table not in TABLES:
        raise InputError.of("table", table, f"one of {', '.join(TABLES)}")
    return TABLES[table]
