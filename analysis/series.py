"""Series along training, out of the tables `llc` and `probes`."""

from __future__ import annotations

import re

import pandas as pd

_SETTING = ["sampler", "nbeta", "localization", "n_states", "chains", "draws", "burn_in"]
_SERIES = ["loss", "reference", "states", "params"]
_Z95 = 1.959963984540054


def llc_series(llc: pd.DataFrame) -> pd.DataFrame:
    """LLC of every run along training, one series per loss, reference, states and parameters.

    Of several sampler settings of one series, the one that covers most checkpoints is taken, the
    later one in the table if they cover equally many; of several estimates of a checkpoint the
    last. Failed estimates are NaN.

    Returns:
        Columns run, arm, seed, series (such as `kl/on-policy`), step, value, stderr; by step.
    """
    frame = llc.copy()
    columns = _SETTING + _SERIES + ["status"]
    for name in columns:
        frame[name] = frame[name].astype("string").fillna("") if name in frame else ""
    frame["series"] = _names(frame)
    frame = frame[_latest_setting(frame)].drop_duplicates(["run", "series", "step"], keep="last")
    value = pd.to_numeric(frame["llc"]).astype("float64")
    bad = frame["status"] == "failed"
    out = pd.DataFrame(
        {
            "run": frame["run"].astype(str),
            "arm": [arm_of(str(run)) for run in frame["run"]],
            "seed": frame.get("seed", pd.NA),
            "series": frame["series"].astype(str),
            "step": frame["step"].astype("float64"),
            "value": value.mask(bad),
            "stderr": pd.to_numeric(frame["llc_stderr"]).astype("float64").mask(bad),
        }
    )
    return out.sort_values(["run", "series", "step"]).reset_index(drop=True)


def probe_series(probes: pd.DataFrame) -> pd.DataFrame:
    """Probe metrics of every run along training; rows without a step (baselines) are left out.

    Returns:
        Columns run, arm, probe, metric, step, value, stderr (of a 95 % interval's width); by step.
    """
    frame = probes[probes["step"].notna()]
    frame = frame.drop_duplicates(["run", "probe", "metric", "step"], keep="last")
    width = frame["ci_high"].astype("float64") - frame["ci_low"].astype("float64")
    out = pd.DataFrame(
        {
            "run": frame["run"].astype(str),
            "arm": [arm_of(str(run)) for run in frame["run"]],
            "probe": frame["probe"].astype(str),
            "metric": frame["metric"].astype(str),
            "step": frame["step"].astype("float64"),
            "value": frame["value"].astype("float64"),
            "stderr": width.clip(lower=0.0) / (2.0 * _Z95),
        }
    )
    return out.sort_values(["run", "probe", "metric", "step"]).reset_index(drop=True)


def arm_of(run: str) -> str:
    """The arm in a run's name `ARM-sSEED`; the whole name where it has no seed."""
    return re.sub(r"-s\d+$", "", run)


def _names(frame: pd.DataFrame) -> pd.Series:
    """Loss and states; reference and parameters only where they are not the usual ones."""
    names = frame["loss"] + "/" + frame["states"]
    usual = {"reference": ("", "self", "checkpoint", "own"), "params": ("", "all")}
    for column, plain in usual.items():
        names = names + ("/" + frame[column]).where(~frame[column].isin(plain), "")
    return names


def _latest_setting(frame: pd.DataFrame) -> pd.Series:
    """True for the rows of each series' chosen sampler setting."""
    setting = frame[_SETTING].agg("|".join, axis=1)
    keep = pd.Series(False, index=frame.index)
    for _, rows in frame.groupby(["run", "series"]):
        of = setting[rows.index]
        cover = rows["step"].groupby(of).nunique()
        last = pd.Series(range(len(of)), index=of.to_numpy()).groupby(level=0).max()
        best = max(cover.index, key=lambda s: (cover[s], last[s]))
        keep[of.index[of == best]] = True
    return keep
