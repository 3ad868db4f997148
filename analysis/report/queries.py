"""Which rows of the tables a report shows: one LLC setting, one metric per probe."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache

import pandas as pd

from analysis import meaning
from analysis.probes import FIXED_STATE_PROBES, PROBES, SCORES, main_metric, wilson
from analysis.probes.scores import one_mode
from analysis.report.data import StudyData
from analysis.report.labels import is_own, listed
from analysis.series import MAIN_LOSS, current_setting, is_shared, setting_of

once = lru_cache(maxsize=4)  # by identity of the study; the frames are never changed


@once
def llc_rows(data: StudyData) -> pd.DataFrame:
    """One LLC estimate per run, states and step: the main loss, to the checkpoint itself.

    The main loss is `series.MAIN_LOSS` where it was estimated, else the one with most rows. Of
    several settings `series.current_setting` counts; only estimates over all parameters of the
    policies as they are, not at matched entropy, are shown. Columns are those of the table `llc`.
    """
    return _one_setting(_estimates(data, to_self=True, at_matched_entropy=False))


@once
def matched_rows(data: StudyData) -> pd.DataFrame:
    """Like `llc_rows`, for the control at a matched entropy; of several the one of most rows."""
    frame = _estimates(data, to_self=True, at_matched_entropy=True)
    most = frame["matched_entropy"].mode().head(1) if len(frame) else ()
    return _one_setting(frame[frame["matched_entropy"].isin(most)] if len(frame) else frame)


@once
def fixed_reference_rows(data: StudyData) -> pd.DataFrame:
    """Like `llc_rows`, for estimates whose loss is to another, fixed policy."""
    return _one_setting(_estimates(data, to_self=False, at_matched_entropy=False))


@once
def profile_rows(data: StudyData) -> pd.DataFrame:
    """The profile of each run's last checkpoint that has one, chosen like `llc_rows`.

    A row per resolution. Columns are those of the table `profile`.
    """
    frame = data.table("profile").dropna(subset=["run", "step", "relative_temperature"])
    frame = frame[frame["reference"].fillna("self").eq("self")]
    rows = _one_setting(last_rows(frame), ["relative_temperature"])
    return rows.sort_values(["run", "states", "relative_temperature"], ignore_index=True)


@once
def contribution_rows(data: StudyData) -> pd.DataFrame:
    """What kinds of states bring to the estimates of `llc_rows`; a row per estimate and kind."""
    frame = data.table("contributions")
    return frame[frame["estimate_id"].isin(llc_rows(data)["estimate_id"])].dropna(subset=["step"])


@once
def influence_rows(data: StudyData) -> pd.DataFrame:
    """Influences of kinds of training states, a row each, of one setting in each line."""
    frame = data.table("influence").dropna(subset=["run", "step"])
    return last_of_one_setting(frame, ["run", "states", "probe"], ["of_states"])


@once
def susceptibility_rows(data: StudyData) -> pd.DataFrame:
    """What components answer to perturbations, a row each, of one setting in each line."""
    frame = data.table("susceptibilities").dropna(subset=["run", "step"])
    return last_of_one_setting(frame, ["run", "observable", "perturb", "component"])


def last_of_one_setting(
    frame: pd.DataFrame, by: list[str], within: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows of the setting that counts for each line, of a checkpoint those made last.

    Args:
        frame: a table with columns step (what a line runs over) and setting_id.
        by: columns that tell lines of one setting each apart.
        within: columns that tell rows of one step apart.
    """
    rows = current_setting(frame, by).drop_duplicates([*by, "step", *within], keep="last")
    return rows.sort_values([*by, "step", *within], ignore_index=True)


def _estimates(data: StudyData, *, to_self: bool, at_matched_entropy: bool) -> pd.DataFrame:
    frame = data.table("llc").dropna(subset=["run", "step"])
    matched = frame.reindex(columns=["matched_entropy"])["matched_entropy"].notna()
    own = frame["reference"].fillna("self").eq("self")
    return frame[(own == to_self) & (matched == at_matched_entropy)]


def _one_setting(frame: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The main loss over all parameters, in the setting that counts.

    `within` tells rows of one checkpoint and state set apart.
    """
    if frame.empty:
        return frame
    params = frame["params"].fillna("all")
    known = params[frame["llc"].notna()] if frame["llc"].notna().any() else params
    frame = frame[params == ("all" if bool((known == "all").any()) else known.mode()[0])]
    losses = frame["loss"].fillna("")
    frame = frame[losses == (MAIN_LOSS if bool((losses == MAIN_LOSS).any()) else losses.mode()[0])]
    out = last_of_one_setting(frame, ["run", "states"], within)
    return out.assign(states=out["states"].fillna("unnamed"))


@once
def no_common_scale(data: StudyData) -> dict[str, str]:
    """Why LLCs of different arms are not compared on each state set; empty where they may be.

    States that are not shared, and what differs between the last checkpoints of the runs.
    """
    rows = llc_rows(data)
    out = {}
    for name in states_in_order(rows):
        mine = rows[rows["states"] == name]
        differ = meaning.unequal(last_rows(mine))
        if not differ and setting_of(mine).nunique() > 1:
            differ = ["settings of the sampler or choice of states"]
        if not is_shared(name):
            differ = ["states"]
        out[name] = listed(differ)
    return out


def failed(rows: pd.DataFrame) -> pd.Series:
    """Which LLC rows are failed estimates: shown as such, and part of no line, mean or sentence."""
    return rows["status"].fillna("unknown") == "failed"


def bad_rows(data: StudyData) -> pd.DataFrame:
    """The shown LLC estimates whose status is not `ok`."""
    parts = (llc_rows(data), fixed_reference_rows(data))
    rows = pd.concat([part for part in parts if len(part)] or list(parts[:1]))
    return rows[rows["status"].fillna("unknown") != "ok"]


@once
def probe_rows(data: StudyData) -> pd.DataFrame:
    """Agents' probe scores of every checkpoint, of sampled actions where there are any.

    Where a run has episodes but no scores, shares of episodes stand in.
    """
    table = one_mode(data.table("probes").dropna(subset=["run", "step", "probe", "metric"]))
    episodes = data.table("episodes")
    bare = (episodes["policy"] == "agent") & ~episodes["run"].isin(table["run"])
    parts = (table, _shares(episodes[bare], ["run", "arm", "step", "probe"]))
    table = pd.concat([part for part in parts if len(part)] or [table], ignore_index=True)
    return table.drop_duplicates(["run", "step", "probe", "metric"], keep="last")


@once
def played(data: StudyData) -> Mapping[tuple[Hashable, ...], pd.DataFrame]:
    """Agents' episodes of sampled actions by run, step and probe, one of each level."""
    table = data.table("episodes")
    table = table[(table["policy"] == "agent") & (table["mode"] == "sampled")]
    by = ["run", "step", "probe"]
    return dict(iter(table.drop_duplicates([*by, "level_seed"]).groupby(by)))


@once
def baseline_rows(data: StudyData, policy: str = "coin-blind") -> pd.DataFrame:
    """A scripted policy's share of episodes per arm and probe.

    From the scores `coin_rate:POLICY` and `end_rate:POLICY` where there are any, else counted in
    `episodes`. Columns: arm, probe, metric (as the agent's), value, ci_low, ci_high, n.
    """
    table = data.table("probes").dropna(subset=["run", "probe", "metric"])
    table = table[table["metric"].str.endswith(f":{policy}")]
    if table.empty:
        episodes = data.table("episodes")
        return _shares(episodes[episodes["policy"] == policy], ["arm", "probe"])
    table = table.assign(metric=table["metric"].str.removesuffix(f":{policy}"))
    return table.drop_duplicates(["arm", "probe", "metric"], keep="last")


def _shares(episodes: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Shares of coins and ends with Wilson intervals, of sampled actions where there are any."""
    sampled = episodes[episodes["mode"] == "sampled"]
    known = sampled if len(sampled) else episodes
    known = known.rename(columns={"coin_collected": "coin_rate", "end_reached": "end_rate"})
    single = known.melt(by, ["coin_rate", "end_rate"], "metric").dropna(subset=["value"])
    single["value"] = single["value"].astype(float)
    groups = single.groupby([*by, "metric"], sort=False)["value"]
    out = groups.agg(value="mean", hits="sum", n="count").reset_index()
    ends = [wilson(hits, n) for hits, n in zip(out.pop("hits"), out["n"], strict=True)]
    return out.assign(ci_low=[low for low, _ in ends], ci_high=[high for _, high in ends])


def baseline_of(baseline: pd.DataFrame, probe: str, metric: str) -> pd.DataFrame:
    """The baseline's rows for a probe and a metric."""
    return baseline[(baseline["probe"] == probe) & (baseline["metric"] == metric)]


@once
def main_probe_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of each probe's main metric alone."""
    table = probe_rows(data)
    main = table["metric"] == table["probe"].map(main_metric)
    return table[main & (table["probe"] != "suite")].sort_values(["run", "step"])


def metric_of(main: pd.DataFrame, probe: str) -> str:
    """The metric of a probe's rows in `main_probe_rows`."""
    return str(main[main["probe"] == probe]["metric"].iloc[0])


@once
def score_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of goal scores over a whole suite, those of `SCORES` that have a value."""
    table = probe_rows(data)
    table = table[(table["probe"] == "suite") & table["metric"].isin(SCORES)]
    return table.dropna(subset=["value"]).sort_values(["run", "step"])


@once
def coin_rows(data: StudyData) -> pd.DataFrame:
    """`probe_rows` of the fixed-state probes, with a value."""
    table = probe_rows(data)
    table = table[table["probe"].isin(FIXED_STATE_PROBES)]
    return table.dropna(subset=["value"]).sort_values(["run", "step"])


@once
def distance_rows(data: StudyData) -> pd.DataFrame:
    """Table `counterfactual`, an effect once: the coin's effect by its side and distance."""
    key = ["run", "step", "side", "distance", "metric"]
    table = data.table("counterfactual").dropna(subset=[*key, "value"])
    table = table.drop_duplicates(key, keep="last")
    return table.sort_values(["run", "step", "side", "distance"])


def last_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run the rows of its last step."""
    return rows[rows["step"] == rows.groupby("run")["step"].transform("max")]


def gives_share(probe: str) -> bool:
    """Whether a probe's main metric is a share or probability; of probes not known here it is."""
    return probe not in PROBES or PROBES[probe].is_share


def probes_in_order(table: pd.DataFrame) -> list[str]:
    """The probes of a table, in an order that suits reading."""
    rank = {name: i for i, name in enumerate(PROBES)}
    return sorted(map(str, table["probe"].dropna().unique()), key=lambda p: (rank.get(p, 99), p))


def states_in_order(rows: pd.DataFrame) -> list[str]:
    """The state sets of LLC rows: shared ones first, then own, then the rest."""
    names = map(str, rows["states"].dropna().unique())
    return sorted(names, key=lambda name: (not is_shared(name), not is_own(name), name))
