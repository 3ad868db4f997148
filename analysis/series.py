"""Series along training, out of the tables `llc` and `probes`: which rows count, and their arms."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from analysis.probes import FIXED_STATE_GOALS
from analysis.probes.scores import one_mode
from analysis.schema import UNNAMED, only_defined
from rl_slt import InputError

# What tells one LLC series from another; `matched_entropy` is that of a control, NaN otherwise.
SERIES = ("run", "loss", "states", "reference", "params", "matched_entropy")
MAIN_LOSS = "kl"  # the loss that readers show where several were estimated
_SAMPLER = ["sampler", "nbeta", "localization", "n_states", "chains", "draws", "burn_in",
            "gauge", "actions"]  # fmt: skip
_USUAL = {"reference": "self", "params": "all"}
_Z95 = 1.959963984540054


def goal_rows(probes: pd.DataFrame) -> pd.DataFrame:
    """The rows of table `probes` that are searched for changes of the goal.

    Left out are rates of others than the agent (`coin_rate:coin-blind`), which do not change with
    training, as do rows without a step, and of the fixed-state probes all metrics that are no goal
    by their records; so are greedy actions where there are sampled ones.

    Args:
        probes: table `probes`.
    """
    probes = one_mode(probes)
    pairs = zip(probes["probe"].fillna(""), probes["metric"].fillna(""), strict=True)
    keep = [":" not in metric or (probe, metric) in FIXED_STATE_GOALS for probe, metric in pairs]
    return probes[pd.Series(keep, index=probes.index, dtype=bool) & probes["step"].notna()]


def setting_of(frame: pd.DataFrame) -> pd.Series:
    """What tells the settings of one series apart, a text per row.

    The column `setting_id` (a hash of all settings); where it is missing, the sampler's columns.

    Args:
        frame: table `llc` or `profile`.
    """
    if "setting_id" in frame and frame["setting_id"].notna().all():
        return frame["setting_id"].astype("string")
    known = [name for name in _SAMPLER if name in frame]
    text = pd.Series("", index=frame.index).str.cat(frame[known].astype("string").fillna(""), "|")
    return frame["setting_id"].astype("string").fillna(text) if "setting_id" in frame else text


def series_parts(llc: pd.DataFrame) -> pd.DataFrame:
    """What names the series of each row of table `llc` within its run, as text.

    Args:
        llc: table `llc`.

    Returns:
        Columns loss, states, reference, params, matched_entropy (`matched=1.2` for estimates at
        that entropy in nats); empty where absent, or for the last three the usual: the checkpoint
        itself, all parameters, the policy as it is.
    """
    matched = llc.get("matched_entropy", pd.Series(np.nan, llc.index)).astype("float64")
    out = {name: _texts(llc, name) for name in SERIES[1:-1]}
    out |= {name: out[name].mask(out[name] == usual, "") for name, usual in _USUAL.items()}
    entropies = ["" if h != h else f"matched={h:.3g}" for h in matched]
    return pd.DataFrame({**out, "matched_entropy": entropies})


def _texts(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column as text; empty where it, or a value of it, is missing."""
    known = frame.get(name, pd.Series("", frame.index))
    return known.astype("string").fillna("")


def interval_stderr(llc: pd.DataFrame) -> pd.Series:
    """The standard error that intervals are made of, of each row of table `llc`.

    `llc_stderr_total`, Monte Carlo and sampling error over states together, where the estimate
    has one, else `llc_stderr`, the Monte Carlo error alone.
    """
    own = llc["llc_stderr"].astype("float64")
    total = llc.get("llc_stderr_total")
    return own if total is None else total.astype("float64").fillna(own)


def is_shared(states: str) -> bool:
    """Whether a state set is one frozen set shared by all checkpoints and arms."""
    return states.startswith("frozen")


def change_stderr(llc: pd.DataFrame) -> pd.Series:
    """The standard error that changes are judged by, of each row of table `llc`.

    On a frozen set it is the Monte Carlo error alone: all checkpoints and agents have the same
    states, whose error moves them together (correlation 0.87 over sets on the demo's
    agents, `benchmarks/results/llc_states.md`), so that a change is one on these states. On states
    of each checkpoint's own it is that of intervals: there both errors are independent.

    Args:
        llc: table `llc`.
    """
    shared = llc["states"].astype("string").fillna("").map(is_shared).astype(bool)
    return llc["llc_stderr"].astype("float64").where(shared, interval_stderr(llc))


def probe_stderr(probes: pd.DataFrame) -> pd.Series:
    """The standard error that changes are judged by, of each row of table `probes`.

    Of a share of n levels, which a row with Wilson's interval of its value and `n` is,

        sqrt(q (1 - q) / (n - 1)),   q = (n value + 4) / (n + 8).

    The width of the interval itself is too small for the scatter of few levels near one half, and
    goes with the value, so that points at the ends of the scatter count more: constant rates of 8
    levels are called changing in 13 to 19 % by it, in 1 to 5 % by this, and no fewer steps are
    found (`benchmarks/results/analysis_transitions.md`). Of other scores the interval's width.

    Args:
        probes: table `probes`.
    """
    n = probes.get("n", pd.Series(np.nan, index=probes.index)).astype("float64")
    value, low, high = (probes[name].astype("float64") for name in ("value", "ci_low", "ci_high"))
    z2 = _Z95**2
    center = (n * value + z2 / 2) / (n + z2)
    half = np.sqrt(n * z2 * (value * (1 - value)).clip(lower=0.0) + z2**2 / 4) / (n + z2)
    apart = (low - center + half).abs() + (high - center - half).abs()
    share = apart.lt(1e-4) & n.gt(1) & value.between(0.0, 1.0)
    q = (n * value + 4) / (n + 8)
    own = (q * (1 - q) / (n - 1)).where(share) ** 0.5
    return own.fillna((high - low).clip(lower=0.0) / (2.0 * _Z95))


def current_setting(
    frame: pd.DataFrame, by: Sequence[str] = SERIES, *, asked: Collection[str] = ()
) -> pd.DataFrame:
    """The rows of the setting that counts, of each run and series: the one rule for all readers.

    It is the setting that covers the most checkpoints; among such the one asked for now; among
    these the one made last (column `created`, then the order of the rows).

    Args:
        frame: a table with column step, and any of `setting_id` and `created`.
        by: columns that name a run's series, those of table `llc` by default; absent ones and
            missing values count as equal.
        asked: `setting_id` of what a command was asked for, if anything was.

    Returns:
        Those rows, in their order, numbered from 0.
    """
    frame = frame.reset_index(drop=True)
    if frame.empty:
        return frame
    setting = setting_of(frame)
    parts = series_parts(frame)
    of = [parts[name] if name in parts else _texts(frame, name) for name in by if name in frame]
    series = frame.groupby(of, sort=False).ngroup() if of else pd.Series(0, frame.index)
    group = frame.groupby([series, setting], sort=False).ngroup()
    if group.nunique() == series.nunique():
        return frame
    made = pd.factorize(frame["created"], sort=True)[0] if "created" in frame else -1
    facts = pd.DataFrame(
        {"series": series, "step": frame["step"], "asked": setting.isin(list(asked)),
         "made": made, "row": frame.index}
    )  # fmt: skip
    settings = facts.groupby(group).agg(
        {"series": "first", "step": "nunique", "asked": "max", "made": "max", "row": "max"}
    )
    best = settings.sort_values(["step", "asked", "made", "row"]).groupby("series").tail(1)
    return frame[group.isin(best.index)].reset_index(drop=True)


def llc_table(llc: pd.DataFrame) -> pd.DataFrame:
    """The estimates that count, of table `llc`, with what names their series.

    Those of `current_setting`; of several estimates of a checkpoint the last. Failed estimates are
    NaN.

    Returns:
        Columns run, arm, seed, series (such as `kl/on-policy`, followed by the reference, the
        parameters and `matched=H` where they are not the usual ones), reference, states, fixed
        (whether the reference is the same for all checkpoints), step, llc, llc_stderr,
        llc_stderr_total, loss_init, loss_init_stderr (nats; NaN in tables that lack it); by step.
    """
    frame = with_columns("llc", llc, ("run", "step"))
    for name in (*SERIES[1:-1], "status"):
        frame[name] = frame[name].astype("string").fillna("") if name in frame else ""
    frame = current_setting(frame)
    frame["series"] = [
        "/".join([loss, states, *filter(None, rest)])
        for loss, states, *rest in series_parts(frame).to_numpy()
    ]
    frame = frame.astype({"run": str, "series": str})
    frame = frame.drop_duplicates(["run", "series", "step"], keep="last")
    frame["arm"] = frame["run"].map(arms_of_runs(frame))
    frame["fixed"] = ~frame["reference"].isin(("", "self"))
    errors = ["llc_stderr", "llc_stderr_total"]
    numbers = ["step", "llc", *errors, "loss_init", "loss_init_stderr"]
    frame[numbers] = frame.reindex(columns=numbers).astype("float64")
    frame = only_defined(frame)
    columns = ["run", "arm", "seed", "series", "reference", "states", "fixed", *numbers]
    return frame.sort_values(["run", "series", "step"], ignore_index=True).reindex(columns=columns)


def llc_series(llc: pd.DataFrame) -> pd.DataFrame:
    """LLC of every run along training, one series per loss, reference, states and parameters.

    Returns:
        Columns run, arm, seed, series, step, value, stderr (that of changes, `change_stderr`); by
        step.
    """
    table = llc_table(llc)
    table = table.assign(value=_finite(table["llc"]), stderr=change_stderr(table))
    return table[["run", "arm", "seed", "series", "step", "value", "stderr"]]


def _finite(values: pd.Series) -> pd.Series:
    """Values, NaN where one is infinite: no number to calculate with."""
    return values.astype("float64").replace([np.inf, -np.inf], np.nan)


def probe_series(probes: pd.DataFrame) -> pd.DataFrame:
    """Probe metrics of every run along training; rows without a step (baselines) are left out.

    Of sampled actions where there are any.

    Returns:
        Columns run, arm, probe, metric, step, value, stderr (`probe_stderr`); by step.
    """
    frame = with_columns("probes", probes, ("run", "probe", "metric", "step", "value"))
    frame = one_mode(frame)
    frame = frame[frame["step"].notna()]
    frame = frame.drop_duplicates(["run", "probe", "metric", "step"], keep="last")
    frame = frame.astype(dict.fromkeys(("run", "probe", "metric"), str))
    numbers = ["step", "value", "ci_low", "ci_high"]
    frame[numbers] = frame.reindex(columns=numbers).astype("float64")
    frame["value"] = _finite(frame["value"])
    frame["arm"] = frame["run"].map(arms_of_runs(frame))
    frame["stderr"] = probe_stderr(frame)
    columns = ["run", "arm", "probe", "metric", "step", "value", "stderr"]
    return frame[columns].sort_values(["run", "probe", "metric", "step"]).reset_index(drop=True)


def with_columns(table: str, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A copy of the frame, which must have the columns unless it is empty.

    Raises:
        InputError: one is missing.
    """
    missing = [name for name in columns if name not in frame]
    if missing and len(frame):
        raise InputError(f"table {table!r} lacks the columns {', '.join(missing)}")
    return frame.assign(**dict.fromkeys(missing, pd.Series(dtype=object)))


def arms_of_runs(*tables: pd.DataFrame) -> dict[str, str]:
    """The arm of each run, from the column `arm` of the tables; `unnamed` where none names it.

    Runs of one arm repeat one condition: tests over runs permute within arms only.
    """
    arms: dict[str, str] = {}
    for table in tables:
        known = table["arm"].fillna(UNNAMED) if "arm" in table else [UNNAMED] * len(table)
        for run, arm in zip(map(str, table["run"]), map(str, known), strict=True):
            if arms.get(run, UNNAMED) == UNNAMED:
                arms[run] = arm
    return arms
