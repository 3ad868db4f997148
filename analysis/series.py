"""Series along training, out of the tables `llc` and `probes`."""

from __future__ import annotations

import re

import pandas as pd

_SETTING = ["sampler", "nbeta", "localization", "n_states", "chains", "draws", "burn_in"]
_SERIES = ["loss", "reference", "states", "params"]
_USUAL = {"reference": ("", "self"), "params": ("", "all")}
_ESTIMATE = [
    "run", "arm", "seed", "series", "reference", "states", "fixed", "step", "llc", "llc_stderr",
    "loss_init", "loss_init_stderr",
]  # fmt: skip
_Z95 = 1.959963984540054
INNER_GOALS = (("counterfactual", "toward:left"), ("readout", "gain:policy_head"))


def goal_rows(probes: pd.DataFrame) -> pd.DataFrame:
    """The rows of table `probes` that are searched for changes of the goal.

    Left out are rates of others than the agent (`coin_rate:coin-blind`), which do not change with
    training, and of the counterfactual and the internal probe all but one metric each, of which
    the others are variants: every further pair that is tested costs power.
    """
    pairs = zip(probes["probe"].fillna(""), probes["metric"].fillna(""), strict=True)
    keep = [":" not in metric or (probe, metric) in INNER_GOALS for probe, metric in pairs]
    return probes[pd.Series(keep, index=probes.index, dtype=bool)]


def llc_table(llc: pd.DataFrame) -> pd.DataFrame:
    """The estimates that count, of table `llc`, with what names their series.

    Of several settings of one series (`setting_id`, or else the sampler's columns) the one that
    covers most checkpoints is taken, the later one in the table if they cover equally many; of
    several estimates of a checkpoint the last. Failed estimates are NaN.

    Returns:
        Columns run, arm, seed, series (such as `kl/on-policy`, with the reference and parameters
        where they are not the usual ones), reference, states, fixed (whether the reference is the
        same for all checkpoints), step, llc, llc_stderr, loss_init,
        loss_init_stderr (NaN in tables that lack it); by step.
    """
    frame = llc.reset_index(drop=True)
    for name in [*_SETTING, *_SERIES, "status"]:
        frame[name] = frame[name].astype("string").fillna("") if name in frame else ""
    frame["series"] = _names(frame).astype(str)
    frame = frame[_latest_setting(frame)].drop_duplicates(["run", "series", "step"], keep="last")
    frame["run"] = frame["run"].astype(str)
    frame["arm"] = [arm_of(run) for run in frame["run"]]
    frame["fixed"] = ~frame["reference"].isin(_USUAL["reference"])
    for name in ("step", "llc", "llc_stderr", "loss_init", "loss_init_stderr"):
        values = frame[name] if name in frame else pd.Series(float("nan"), index=frame.index)
        frame[name] = values.astype("float64")
    frame.loc[frame["status"] == "failed", ["llc", "llc_stderr"]] = float("nan")
    if "seed" not in frame:
        frame["seed"] = pd.NA
    return frame[_ESTIMATE].sort_values(["run", "series", "step"]).reset_index(drop=True)


def llc_series(llc: pd.DataFrame) -> pd.DataFrame:
    """LLC of every run along training, one series per loss, reference, states and parameters.

    Returns:
        Columns run, arm, seed, series, step, value, stderr; by step.
    """
    table = llc_table(llc).rename(columns={"llc": "value", "llc_stderr": "stderr"})
    return table[["run", "arm", "seed", "series", "step", "value", "stderr"]]


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
    for column, plain in _USUAL.items():
        names = names + ("/" + frame[column]).where(~frame[column].isin(plain), "")
    return names


def _latest_setting(frame: pd.DataFrame) -> pd.Series:
    """True for the rows of each series' chosen sampler setting."""
    columns = ["setting_id"] if "setting_id" in frame else _SETTING
    setting = frame[columns].astype("string").fillna("").agg("|".join, axis=1)
    keep = pd.Series(False, index=frame.index)
    for _, rows in frame.groupby(["run", "series"]):
        of = setting[rows.index]
        cover = rows["step"].groupby(of).nunique()
        last = pd.Series(range(len(of)), index=of.to_numpy()).groupby(level=0).max()
        best = max(cover.index, key=lambda s: (cover[s], last[s]))
        keep[of.index[of == best]] = True
    return keep
