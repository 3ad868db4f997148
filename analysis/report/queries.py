"""Which rows of the tables a report shows: one LLC setting, one metric per probe."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
from scipy.stats import binomtest

from analysis import schema
from analysis.report.data import StudyData
from analysis.series import current_setting, setting_of

SELF = ("self", "checkpoint", "own", "")
_once = lru_cache(maxsize=4)  # by identity of the study; nobody changes the frames
WHOLE = ("", "*", "all")
COIN_METRICS = ("coin_rate", "coin")
END_METRICS = ("end_rate", "end")
SCORES = ("coin_seeking", "avoidance", "preference", "capability", "persistence")
PROBE_ORDER = ("end", "end@mid", "behind", "ground", "section", "both", "none", "none@mid")


@_once
def llc_rows(data: StudyData) -> pd.DataFrame:
    """One LLC estimate per run, states and step: the main loss, to the checkpoint itself.

    The main loss is `kl` where it was estimated, else the one with most rows. Of several settings
    the one that covers most checkpoints counts, of equals the latest; only estimates over all
    parameters are shown. Columns are those of the table `llc` and `arm`.
    """
    frame = data.table("llc").dropna(subset=["run", "step"])
    return _one_setting(frame[_is_self(frame)], data)


@_once
def yardstick_rows(data: StudyData) -> pd.DataFrame:
    """Like `llc_rows`, for estimates whose loss is to another, fixed policy."""
    frame = data.table("llc").dropna(subset=["run", "step"])
    return _one_setting(frame[~_is_self(frame)], data)


def _is_self(frame: pd.DataFrame) -> pd.Series:
    return frame["reference"].fillna("").str.lower().isin(SELF)


def _one_setting(frame: pd.DataFrame, data: StudyData) -> pd.DataFrame:
    frame = frame.assign(arm=frame["run"].map(data.arm_of)).dropna(subset=["arm"])
    if frame.empty:
        return frame
    params = frame["params"].fillna("").str.lower()
    whole = params.isin(WHOLE)
    frame = frame[whole] if bool(whole.any()) else frame[params == params.mode()[0]]
    losses = frame["loss"].fillna("")
    frame = frame[losses == ("kl" if bool((losses == "kl").any()) else losses.mode()[0])]
    by = ["run", "states"]
    out = current_setting(frame, by).drop_duplicates([*by, "step"], keep="last")
    out = out.sort_values([*by, "step"], ignore_index=True)
    return out.assign(states=out["states"].fillna("unnamed"))


def uneven_states(data: StudyData) -> list[str]:
    """Shared state sets whose estimates were not made with one setting in all runs."""
    rows = llc_rows(data)
    settings = setting_of(rows).groupby(rows["states"]).nunique()
    return [
        states
        for states in (states_in_order(rows) if len(rows) else [])
        if is_shared(states) and settings[states] > 1
    ]


@_once
def probe_rows(data: StudyData) -> pd.DataFrame:
    """Agent's probe scores of every checkpoint, in the columns of `probes` and `arm`.

    Where a run has episodes but no scores, shares of episodes with Wilson intervals stand in.
    """
    table = data.table("probes").dropna(subset=["run", "step", "probe", "metric"])
    if "policy" in table:
        table = table[table["policy"].fillna("agent") == "agent"]
    if "mode" in table and bool((table["mode"] == "sampled").any()):
        table = table[table["mode"].fillna("sampled") == "sampled"]
    scored = set(table["run"])
    episodes = data.table("episodes")
    episodes = episodes[~episodes["run"].isin(scored) & (episodes["policy"] == "agent")]
    counted = _shares(_sampled(episodes), ["run", "step", "probe"])
    table = pd.concat([t for t in (table, counted) if len(t)] or [table], ignore_index=True)
    table = table.drop_duplicates(["run", "step", "probe", "metric"], keep="last")
    return table.assign(arm=table["run"].map(data.arm_of)).dropna(subset=["arm"])


@_once
def baseline_rows(data: StudyData, policy: str = "coin-blind") -> pd.DataFrame:
    """A scripted policy's share of episodes per arm and probe.

    From the scores `coin_rate:POLICY` and `end_rate:POLICY` where there are any, else counted in
    `episodes`. Columns: arm, probe, metric (as the agent's), value, ci_low, ci_high, n.
    """
    table = data.table("probes").dropna(subset=["run", "probe", "metric"])
    scored = table[table["metric"].str.endswith(f":{policy}")]
    if len(scored):
        scored = scored.assign(
            arm=scored["run"].map(data.arm_of),
            metric=scored["metric"].str.removesuffix(f":{policy}"),
        )
        return scored.dropna(subset=["arm"]).drop_duplicates(
            ["arm", "probe", "metric"], keep="last"
        )
    episodes = data.table("episodes")
    episodes = _sampled(episodes[episodes["policy"] == policy])
    episodes = episodes.assign(arm=episodes["run"].map(data.arm_of))
    return _shares(episodes.dropna(subset=["arm"]), ["arm", "probe"])


def _sampled(episodes: pd.DataFrame) -> pd.DataFrame:
    modes = set(episodes["mode"].dropna())
    return episodes[episodes["mode"] == "sampled"] if "sampled" in modes else episodes


def _shares(episodes: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    rows = []
    for key, part in episodes.groupby(by, sort=False):
        for metric, column in (("coin_rate", "coin_collected"), ("end_rate", "end_reached")):
            known = part[column].dropna()
            if len(known):
                hits, n = int(known.sum()), len(known)
                low, high = wilson(hits, n)
                values = dict(metric=metric, value=hits / n, ci_low=low, ci_high=high, n=n)
                rows.append({**dict(zip(by, key, strict=True)), **values})
    return pd.DataFrame(rows, columns=[*by, "metric", "value", "ci_low", "ci_high", "n"])


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share of `hits` among `n`."""
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def main_metric(probe: str, metrics: set[str]) -> str | None:
    """The metric that a probe is shown by: coins collected, or ends reached without a coin."""
    wanted = END_METRICS if probe.startswith("none") else COIN_METRICS
    return next((name for name in wanted if name in metrics), None)


@_once
def main_probe_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of each probe's main metric alone."""
    table = probe_rows(data)
    if table.empty:
        return table
    chosen = {p: main_metric(str(p), set(t["metric"])) for p, t in table.groupby("probe")}
    main = table["probe"].map(chosen)
    return table[(table["metric"] == main).fillna(False)].sort_values(["run", "step"])


@_once
def score_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of goal scores over a whole suite, those of `SCORES` that have a value."""
    table = probe_rows(data)
    table = table[(table["probe"] == "suite") & table["metric"].isin(SCORES)]
    return table.dropna(subset=["value"]).sort_values(["run", "step"])


@_once
def coin_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of the counterfactual and the internal probe, with a value."""
    table = probe_rows(data)
    table = table[table["probe"].isin(("counterfactual", "readout"))]
    return table.dropna(subset=["value"]).sort_values(["run", "step"])


@_once
def distance_rows(data: StudyData) -> pd.DataFrame:
    """Table `counterfactual` with `arm`: the coin's effect by its side and distance."""
    needed = ["run", "step", "side", "distance", "metric", "value"]
    table = data.table("counterfactual").dropna(subset=needed)
    table = table.drop_duplicates([*needed[:-1]], keep="last")
    table = table.assign(arm=table["run"].map(data.arm_of)).dropna(subset=["arm"])
    return table.sort_values(["run", "step", "side", "distance"])


def probes_in_order(table: pd.DataFrame) -> list[str]:
    """The probes of a table, in an order that suits reading."""
    rank = {name: i for i, name in enumerate(PROBE_ORDER)}
    return sorted(map(str, table["probe"].dropna().unique()), key=lambda p: (rank.get(p, 99), p))


def states_in_order(rows: pd.DataFrame) -> list[str]:
    """The state sets of LLC rows: shared ones first, then own, then the rest."""
    names = map(str, rows["states"].dropna().unique())
    return sorted(names, key=lambda name: (not is_shared(name), not is_own(name), name))


def is_own(states: str) -> bool:
    """Whether a state set was visited by the very checkpoint that is estimated."""
    return states in ("own", "on-policy", "on_policy")


def is_shared(states: str) -> bool:
    """Whether a state set is one frozen set shared by all checkpoints and arms."""
    return any(word in states for word in ("shared", "frozen", "fixed", "common"))


@_once
def bad_rows(data: StudyData) -> pd.DataFrame:
    """The shown LLC estimates whose status is not `ok`."""
    rows = pd.concat(
        [r for r in (llc_rows(data), yardstick_rows(data)) if len(r)]
        or [schema.empty("llc").assign(arm="")]
    )
    return rows[rows["status"].fillna("unknown") != "ok"]
