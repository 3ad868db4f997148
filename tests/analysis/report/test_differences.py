"""Of two agents a difference is one of these agents; of arms it is over seeds, or none at all."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from analysis.report import StudyData, build_summary, load_study
from analysis.report.differences import AGENTS, ARMS, llc_difference, probe_difference
from analysis.report.headline import NO_ARMS, NO_CLAIM, NO_TEST


@pytest.fixture
def data(demo: Path) -> StudyData:
    return load_study(demo)


def with_table(data: StudyData, name: str, frame: pd.DataFrame) -> StudyData:
    return replace(data, tables={**data.tables, name: frame})


def episodes(data: StudyData, outcomes: dict[str, np.ndarray]) -> StudyData:
    """Episodes of agents in the probe `behind` at the last step: collected or not, by level."""
    last = int(data.table("probes")["step"].max())
    rows = [
        {"run": run, "arm": run.split("-")[0], "step": last, "policy": "agent", "mode": "sampled",
         "probe": "behind", "placement": "behind", "level_seed": seed, "coin_collected": bool(hit)}
        for run, hits in outcomes.items() for seed, hit in enumerate(hits)
    ]  # fmt: skip
    return with_table(data, "episodes", pd.concat([data.table("episodes"), pd.DataFrame(rows)]))


def test_two_agents_are_compared_on_the_same_levels(data: StudyData) -> None:
    """Agents that agree on 90 of 100 levels: the interval is that of the other ten."""
    rng = np.random.default_rng(0)
    one = rng.random(200) < 0.5
    two = one.copy()
    two[np.flatnonzero(~one)[:20]] = True
    found = probe_difference(episodes(data, {"end-s0": one, "behind-s0": two}), "end", "behind",
                             "behind")  # fmt: skip
    assert found is not None and found.unit == AGENTS and found.value == pytest.approx(0.1)
    paired = 1.96 * math.sqrt(0.1 * 0.9 / 200)  # of the change in each level
    assert found.high - found.low == pytest.approx(2 * paired, rel=0.15)
    unpaired = 1.96 * math.sqrt(2 * 0.25 / 200)
    assert found.high - found.low < 1.5 * unpaired
    assert found.text(2).startswith("these two agents: +0.10 [+0.0")


def test_errors_of_states_are_part_of_the_difference_of_two_llcs(data: StudyData) -> None:
    llc = data.table("llc").assign(llc_stderr=0.01, llc_stderr_total=3.0)
    found = llc_difference(with_table(data, "llc", llc), "end", "behind", "frozen")
    assert found is not None and found.unit == AGENTS
    assert found.high - found.value == pytest.approx(1.959964 * 3.0 * math.sqrt(2))


def test_monte_carlo_error_alone_gives_no_interval(data: StudyData) -> None:
    """Two LLCs far apart in chains' errors, of unknown error over states: nothing is said."""
    llc = data.table("llc").assign(llc_stderr=0.01, llc_stderr_total=math.nan)
    summary = build_summary(with_table(data, "llc", llc))
    one = next(c for c in summary["comparisons"] if (c["kind"], c["name"]) == ("llc", "frozen"))
    assert (one["low"], one["high"], one["unit"]) == (None, None, AGENTS)
    said = next(line for line in summary["headline"] if line.startswith("LLC: "))
    assert f"these two agents: {one['difference']:+.1f} [no interval]" in said
    assert "differ" not in said


def test_arms_are_compared_over_seeds(large_data: StudyData) -> None:
    rows = large_data.table("probes").query("probe == 'behind' and metric == 'coin_rate'")
    last = rows[rows["step"] == rows["step"].max()].astype({"value": float})
    one, two = (last.loc[last["arm"] == arm, "value"] for arm in ("end", "behind"))
    probes = large_data.table("probes")
    known = probes.assign(ci_low=probes["value"], ci_high=probes["value"])  # seeds alone differ
    exact = with_table(large_data, "probes", known)
    found = probe_difference(exact, "end", "behind", "behind")
    ends = ttest_ind(two, one, equal_var=False).confidence_interval()
    assert found is not None and (found.unit, found.seeds) == (ARMS, (10, 10))
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert found.text(2).startswith("arms over 10 and 10 seeds: +")


def test_arms_with_the_same_seeds_are_compared_seed_by_seed_on_the_same_levels(
    large_data: StudyData,
) -> None:
    """Seeds differ by more than arms do, and both agents of a seed alike: the change is sure."""
    runs = {run.name: run for run in large_data.runs if run.arm in ("end", "behind")}
    level = np.random.default_rng(1).random(100)
    hits = {
        name: level < 0.2 + 0.06 * (run.seed or 0) + 0.1 * (run.arm == "behind")
        for name, run in runs.items()
    }
    rates = pd.Series({name: hit.mean() for name, hit in hits.items()})
    probes = large_data.table("probes")
    main = (probes["probe"] == "behind") & (probes["metric"] == "coin_rate")
    value = probes["run"].map(rates).where(main, probes["value"])
    study = with_table(episodes(large_data, hits), "probes", probes.assign(value=value))
    found = probe_difference(study, "end", "behind", "behind")
    one, two = ([rates[n] for n, run in runs.items() if run.arm == arm]
                for arm in ("end", "behind"))  # fmt: skip
    assert found is not None and (found.unit, found.seeds) == (ARMS, (10, 10))
    assert found.value == pytest.approx(np.mean(two) - np.mean(one))
    ends = ttest_ind(two, one, equal_var=False).confidence_interval()
    assert ends.low < 0 < found.low < 0.1 < found.high < ends.high


def test_one_seed_in_an_arm_allows_no_statement_of_arms(
    data: StudyData, large_data: StudyData
) -> None:
    table = data.table("hypotheses")
    claim = table[table["role"] == "primary"]["hypothesis"].iloc[0]
    assert build_summary(data)["headline"][-1] == f"Verdict: {NO_TEST.format(claim)}"
    unnamed = build_summary(with_table(data, "hypotheses", table[:0]))
    assert unnamed["headline"][-1] == f"Verdict: {NO_ARMS}"
    assert not any("arms over" in one["text"] for one in build_summary(data)["comparisons"])
    keep = [run for run in large_data.runs if run.arm == "behind" or run.name == "end-s0"]
    names = [run.name for run in keep]
    tables = {name: frame[frame["run"].isin(names)] for name, frame in large_data.tables.items()}
    some = build_summary(replace(large_data, runs=keep, tables=tables))
    assert all(one["unit"] == "" and one["low"] is None for one in some["comparisons"])
    assert some["headline"][-1] == f"Verdict: {NO_ARMS}"
    assert NO_ARMS not in " ".join(build_summary(large_data)["headline"])


def test_two_agents_of_one_arm_of_several_are_not_taken_for_the_arms(
    tmp_path: Path, write_study: Callable[..., Path]
) -> None:
    """A unit is named in each comparison, whatever the number of arms."""
    arms = {"end": "end", "behind": "behind", "third": "end"}
    out = write_study(tmp_path / "study", arms=arms, checkpoints=4, clips=False)
    summary = build_summary(load_study(out))
    pairs = {(c["a"], c["b"]) for c in summary["comparisons"]}
    assert pairs == {("end", "behind"), ("end", "third")}
    assert all(c["unit"] == AGENTS for c in summary["comparisons"])


def test_the_verdict_is_that_of_the_primary_hypothesis(large_data: StudyData) -> None:
    lines = build_summary(large_data)["headline"]
    table = large_data.table("hypotheses")
    claim = table[table["role"] == "primary"]["hypothesis"].iloc[0]
    assert lines[-1].startswith(f"Verdict: The primary hypothesis, “{claim}”, is supported at 5 %")
    none = with_table(large_data, "hypotheses", table[:0])
    assert build_summary(none)["headline"][-1] == f"Verdict: {NO_CLAIM}"
    lost = table.assign(p_adjusted=table["p_adjusted"].where(table["role"] != "primary", 0.2))
    said = build_summary(with_table(large_data, "hypotheses", lost))["headline"][-1]
    assert "is not supported" in said and "this design finds 2 or more with 80 %" in said


def test_the_link_is_a_named_hypothesis_where_there_is_one(large_data: StudyData) -> None:
    table = large_data.table("hypotheses")
    secondary = table["role"] == "secondary"
    linked = with_table(large_data, "hypotheses", table.assign(kind=table["kind"].mask(
        secondary, "seeds")))  # fmt: skip
    said = next(x for x in build_summary(linked)["headline"] if x.startswith("Link: "))
    assert "The secondary hypothesis, “" in said and "(corrected)" in said
    primary = with_table(large_data, "hypotheses", table.assign(kind="seeds"))
    assert not any(x.startswith("Link: ") for x in build_summary(primary)["headline"])


def test_equal_values_of_all_seeds_leave_their_own_errors(large_data: StudyData) -> None:
    """No seed of either arm collects a coin: that does not make the difference 0 for sure."""
    probes = large_data.table("probes")
    main = (probes["probe"] == "behind") & (probes["metric"] == "coin_rate")
    zero = {"value": 0.0, "ci_low": 0.0, "ci_high": 0.06}
    nothing = probes.assign(**{name: probes[name].mask(main, v) for name, v in zero.items()})
    found = probe_difference(with_table(large_data, "probes", nothing), "end", "behind", "behind")
    assert found is not None and found.value == 0.0
    assert found.high == -found.low == pytest.approx(0.03 * np.sqrt(2 / 10))
