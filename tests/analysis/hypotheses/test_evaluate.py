"""Hypotheses over runs: each kind finds what is planted, and only that."""

from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from planted_studies import ARMS, clock_study, study
from scipy import stats

from analysis import KINDS, evaluate_hypotheses, predict_goal
from analysis.hypotheses import Hypothesis
from analysis.permutations import arrangements
from analysis.schema import empty
from rl_slt import InputError

CONTRACT = [
    "hypothesis", "role", "statistic", "value", "ci_low", "ci_high", "p_value", "p_adjusted", "n",
    "smallest_effect",
]  # fmt: skip
COURSE = {"kind": "course", "metric": "behind/m0"}
LINK = {"name": "link", "role": "primary", "kind": "seeds", "series": "llc", "metric": "behind/m0"}
DIFFERENCE = {"name": "difference", "role": "primary", "kind": "arms", "series": "llc",
              "arms": ARMS, "direction": "greater"}  # fmt: skip
DOSES = {f"d{k}": float(k * k) for k in range(6)}
TREND = {"name": "trend", "role": "primary", "kind": "dose", "series": "llc", "doses": DOSES,
         "direction": "greater"}  # fmt: skip


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def first(tables: tuple[pd.DataFrame, pd.DataFrame], *claims: dict[str, Any]) -> pd.Series:
    return evaluate_hypotheses(*tables, list(claims)).iloc[0]


def rate(count: int, claim: dict[str, Any], **planted: Any) -> float:
    """Share of planted studies in which a claim is found at 5 %."""
    found = [first(study(rng(k), **planted), claim)["p_adjusted"] <= 0.05 for k in range(count)]
    return float(np.mean(found))


def most(count: int, level: float = 0.05) -> float:
    """Three binomial standard errors above the level."""
    return float(level + 3 * np.sqrt(level * (1 - level) / count))


def test_the_columns_are_those_that_others_read() -> None:
    found = evaluate_hypotheses(*study(rng()), [LINK])
    assert list(found.columns[: len(CONTRACT)]) == CONTRACT
    assert get_args(Hypothesis.model_fields["kind"].annotation) == tuple(KINDS)


def test_a_planted_link_is_found_as_the_primary_hypothesis() -> None:
    assert rate(15, LINK, link=0.95) >= 0.8
    assert rate(40, LINK) <= most(40)


def test_a_resolution_is_read_off_the_profile() -> None:
    llc, probes = study(rng(), rise=5.0)
    profile = pd.concat(
        llc.assign(relative_temperature=k, llc=llc["llc"] * k, setting_id=f"at {k}")
        for k in (0.5, 50.0)
    )
    claims: list[dict[str, Any]] = [DIFFERENCE, *(
        DIFFERENCE | {"name": f"at {k}", "role": "secondary", "relative_temperature": k}
        for k in (0.5, 50)
    )]  # fmt: skip
    found = evaluate_hypotheses(llc, probes, claims, profile=profile)
    assert found["value"][1] == pytest.approx(found["value"][0] * 0.5)
    assert found["value"][2] == pytest.approx(found["value"][0] * 50)
    assert found["series"][1] == "llc/relative:0.5"
    explored = evaluate_hypotheses(llc, probes, [], profile=profile)
    assert len(explored) == 1  # no more pairs for resolutions
    entropy = rng(1).normal(size=len(llc))
    given = [claims[1] | {"given": ["entropy"]}]
    held = evaluate_hypotheses(llc.assign(entropy=entropy), probes, given, profile=profile)
    assert held["n"][0] == len(llc)  # controls are those of table llc
    with pytest.raises(InputError, match=r"relative_temperature=.5.: must be one of .*0.5, 50"):
        evaluate_hypotheses(llc, probes, [claims[1] | {"relative_temperature": 5}], profile=profile)


def test_one_linked_pair_among_many_is_found() -> None:
    """Exploratory, corrected by max-T; of 472 pairs in the benchmark."""

    def link_found(seed: int) -> bool:
        rows = evaluate_hypotheses(*study(rng(seed), seeds=4, link=0.99, metrics=40), [])
        return bool((rows[rows["metric"] == "behind/m0"]["p_adjusted"] <= 0.05).any())

    assert np.mean([link_found(k) for k in range(12)]) >= 0.6


@pytest.mark.parametrize("rough", [False, True])
def test_unlinked_pairs_are_found_in_five_percent_of_all_arrangements_exactly(rough: bool) -> None:
    """Each arrangement of the runs is as likely as the observed one: 1 of 36 is found, no more.

    Rough: rates of few levels with ties, heavy tails, and a metric that is the same in all runs.
    """
    llc, probes = study(rng(), seeds=3, metrics=8)
    if rough:
        values = probes["value"].round(1).where(probes["metric"] != "m1", 0.5)
        probes = probes.assign(value=values.where(probes["metric"] != "m2", 1 / probes["value"]))
    found = 0
    for order in arrangements(tuple(llc["arm"])):
        moved = llc.assign(llc=llc["llc"].to_numpy()[order])
        found += (evaluate_hypotheses(moved, probes, [])["p_adjusted"] <= 0.05).any()
    assert found <= 1 if rough else found == 1


@pytest.mark.parametrize("statistic", ["linear", "rank"])
def test_an_arm_that_agrees_on_its_goal_counts_neither_in_a_link_nor_in_its_power(
    statistic: str,
) -> None:
    llc, probes = study(rng(3), seeds=6, link=0.5)
    llc.loc[llc["arm"] == "end", "llc"] *= 10.0  # a spread that would dilute the correlation
    flat = probes.assign(value=probes["value"].where(probes["arm"] != "end", 0.0))
    claim = LINK | {"statistic": statistic}
    both, alone = (
        first((part, flat), claim | more)
        for part, more in ((llc, {}), (llc[llc["arm"] == "behind"], {"arms": ["behind"]}))
    )
    same = ["value", "ci_low", "ci_high", "p_value", "n", "smallest_effect"]
    assert both[same].tolist() == alone[same].tolist() and both["n"] == 6
    assert "not counted, a value is the same in all their runs: end (6 runs)" in both["message"]
    few = first(study(rng(), seeds=5), LINK | {"arms": ["end"]})
    assert few["message"] == "" and few["n"] == 5


def test_a_study_says_that_a_missing_partner_ended_the_pairing() -> None:
    llc, probes = study(rng(), seeds=7, shared=9.0)
    whole, lost = first((llc, probes), DIFFERENCE), first((llc[1:], probes), DIFFERENCE)
    assert whole["statistic"] == "paired difference" and "paired" not in whole["message"]
    assert lost["statistic"] == "difference"
    assert "seeds are not paired: behind-s0 would be left out" in lost["message"]


def test_a_planted_trend_is_found_and_none_is_not() -> None:
    assert rate(10, TREND, arms=tuple(DOSES), rise=2.5) >= 0.8  # 1.5 sd: see the benchmark
    few = {arm: DOSES[arm] for arm in tuple(DOSES)[:3]}
    assert rate(60, TREND | {"doses": few}, arms=tuple(few), seeds=3) <= most(60)


def test_five_seeds_in_one_arm_can_say_yes() -> None:
    row = first(study(rng(1), arms=("end",), link=0.99), LINK)
    assert row["p_value"] == pytest.approx(2 / 120, abs=1 / 120 + 1e-9)
    assert row["n"] == 5


def test_the_value_is_the_difference_and_the_interval_holds_the_truth() -> None:
    inside = []
    for k in range(30):
        llc, probes = study(rng(k), rise=2.0)
        row = first((llc, probes), DIFFERENCE)
        mean = llc.groupby("arm")["llc"].mean()
        assert row["value"] == pytest.approx(mean["behind"] - mean["end"])
        inside.append(row["ci_low"] <= 2.0 <= row["ci_high"])
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 30)
    # as wide as Student's t over the same seeds, on average
    a, b = (llc.loc[llc["arm"] == arm, "llc"] for arm in ("behind", "end"))
    t = stats.ttest_ind(a, b).confidence_interval(0.95)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(t.high - t.low, rel=0.35)


def test_p_is_exact_for_the_ranks_of_two_arms_of_five() -> None:
    llc, probes = study(rng(3), rise=1.0)
    a, b = (llc.loc[llc["arm"] == arm, "llc"] for arm in ("behind", "end"))
    known = stats.mannwhitneyu(a, b, alternative="greater", method="exact")
    row = first((llc, probes), DIFFERENCE | {"statistic": "rank"})
    assert row["p_value"] == pytest.approx(known.pvalue)


def test_p_of_a_difference_is_the_larger_of_two() -> None:
    """Of Welch's t: over the permutations of runs, and by its own distribution."""
    for seed in range(4):
        llc, probes = study(rng(seed), rise=1.0, spreads=(3.0, 1.0))
        a, b = (llc.loc[llc["arm"] == arm, "llc"].to_numpy() for arm in ("behind", "end"))
        known = stats.permutation_test(
            (a, b), lambda x, y, axis: stats.ttest_ind(x, y, axis=axis, equal_var=False)[0],
            alternative="greater", n_resamples=np.inf, vectorized=True,
        )  # fmt: skip
        own = stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
        row = first((llc, probes), DIFFERENCE)
        assert row["p_value"] == pytest.approx(max(known.pvalue, own), abs=3 / 252)


def test_what_arms_share_is_no_link() -> None:
    llc, probes = study(rng(1), rise=50.0)
    probes["value"] += (probes["arm"] == "behind") * 50.0
    row = first((llc, probes), LINK)
    assert abs(row["value"]) < 0.7 and row["p_value"] > 0.05
    both = {"name": "link", "kind": "dose", "statistic": "link", "metric": "behind/m0",
            "doses": {"end": 0.0, "behind": 1.0}}  # fmt: skip
    assert first((llc, probes), both)["p_value"] < 0.05  # over the doses they do go together


def test_pairing_by_seed_finds_what_the_luck_of_seeds_hides() -> None:
    tables = study(rng(2), seeds=8, rise=1.5, shared=30.0)
    paired = first(tables, DIFFERENCE)
    assert paired["statistic"] == "paired difference" and paired["p_value"] <= 0.05
    assert first(tables, DIFFERENCE | {"paired": False})["p_value"] > 0.05
    assert first(study(rng(2)), DIFFERENCE)["statistic"] == "difference"  # too few to pair


@pytest.mark.parametrize("statistic", ["linear", "rank"])
def test_only_the_order_of_doses_counts(statistic: str) -> None:
    tables = study(rng(4), arms=tuple(DOSES), rise=2.0)
    claim = TREND | {"statistic": statistic}
    other = claim | {"doses": {arm: np.exp(dose) for arm, dose in DOSES.items()}}
    assert first(tables, claim)["p_value"] == first(tables, other)["p_value"]
    turned = claim | {"doses": {arm: -dose for arm, dose in DOSES.items()}}
    assert first(tables, turned)["value"] == pytest.approx(-first(tables, claim)["value"])


def test_a_control_that_explains_the_link_takes_it_away() -> None:
    generator = rng(5)
    llc, probes = study(generator, seeds=8)
    entropy = generator.normal(size=len(llc))
    llc["llc"] = 20 + entropy + 0.2 * generator.normal(size=len(llc))
    probes["value"] = entropy + 0.2 * generator.normal(size=len(llc))
    covariates = llc[["run", "step"]].assign(entropy=entropy)
    plain, given = (
        evaluate_hypotheses(llc, probes, [LINK | more], covariates=covariates).iloc[0]
        for more in ({}, {"given": ["entropy"]})
    )
    assert plain["p_value"] < 0.01 and plain["value"] > 0.9
    assert given["p_value"] > 0.05 and given["statistic"].endswith("given entropy")


def test_secondary_hypotheses_are_corrected_together_and_the_primary_is_not() -> None:
    tables = study(rng(6), link=0.9, metrics=6)
    more = [LINK | {"name": f"m{m}", "role": "secondary", "metric": f"behind/m{m}"}
            for m in range(1, 6)]  # fmt: skip
    found = evaluate_hypotheses(*tables, [LINK, *more]).set_index("hypothesis")
    primary = found.loc["link"]
    assert primary["p_adjusted"] == primary["p_value"]
    secondary = found[found["role"] == "secondary"]
    assert (secondary["p_adjusted"] >= secondary["p_value"] - 1e-12).all()
    assert secondary["p_adjusted"].max() > secondary["p_value"].max() or len(secondary) == 1
    assert found["q_value"].isna().all() and len(found) == 6  # no pair is left to explore


def test_further_pairs_are_exploratory() -> None:
    llc, probes = study(rng(7), link=0.999, metrics=12)
    other = llc.assign(states="on-policy", llc=rng(8).normal(size=len(llc)))
    llc = pd.concat([llc, other], ignore_index=True)
    found = evaluate_hypotheses(llc, probes, [LINK | {"metric": "behind/m3"}])
    assert found["role"].tolist() == ["primary"] + ["exploratory"] * 23
    further = found[found["role"] == "exploratory"]
    best = further.sort_values("p_adjusted").iloc[0]
    assert best["hypothesis"] == "kl/frozen with behind/m0 across seeds"
    assert best["p_adjusted"] <= 0.05 and best["q_value"] <= 0.05
    assert (further["p_adjusted"] <= 0.05).sum() == 1


def test_the_names_of_further_pairs_say_what_a_series_is() -> None:
    llc, probes = study(rng(7))
    control = llc.assign(matched_entropy=1.2, reference="last")
    llc = pd.concat([llc.assign(matched_entropy=np.nan, reference="self"), control])
    names = evaluate_hypotheses(llc, probes, [])["hypothesis"].tolist()
    ends = ("", " to last at matched entropy 1.2 nats")
    assert names == [f"kl/frozen{end} with behind/m0 across seeds" for end in ends]


def test_few_runs_explore_nothing_and_say_why_nothing_is_tested() -> None:
    found = evaluate_hypotheses(*study(rng(), seeds=1), [DIFFERENCE, LINK | {"role": "secondary"}])
    assert found["p_value"].isna().all() and found["smallest_effect"].isna().all()
    assert "one run of each arm" in found["message"][0]
    assert found["message"][1] == "needs 5 runs with both values, has 2"
    two = evaluate_hypotheses(*study(rng(), seeds=2), [DIFFERENCE]).iloc[0]
    assert two["p_value"] >= 1 / 6 and np.isnan(two["smallest_effect"])
    assert "cannot reach 5%: its smallest p is 0.17" in two["message"]


def test_a_design_that_cannot_reach_5_percent_names_the_p_that_it_can() -> None:
    """Two-sided, tied and corrected tests have a larger one than one over the arrangements."""
    paired = DIFFERENCE | {"direction": "two-sided", "paired": True}
    signs = first(study(rng(), rise=9.0), paired)
    assert signs["p_value"] == pytest.approx(2 / 32)
    assert signs["message"].endswith("its smallest p is 0.062")
    llc, probes = study(rng())
    tied = first((llc.assign(llc=(llc["run"] == "behind-s1") * 1.0), probes), DIFFERENCE)
    assert tied["p_value"] == 0.5 and tied["message"].endswith("its smallest p is 0.5")


def test_a_failed_estimate_is_left_out_and_named() -> None:
    llc, probes = study(rng(9), seeds=6, link=0.95)
    llc.loc[llc["run"] == "end-s2", "llc"] = np.nan
    llc.loc[llc["run"] == "end-s4", "status"] = "failed"
    llc.loc[llc["run"] == "end-s4", "llc"] = 1e9
    probes = probes[probes["run"] != "behind-s0"]
    row = first((llc, probes), LINK)
    assert row["n"] == 9
    assert row["message"] == "left out without a value: behind-s0, end-s2, end-s4"
    assert row["value"] > 0.8


def test_llcs_that_did_not_pass_their_checks_count_and_are_told() -> None:
    llc, probes = study(rng(10), link=0.95)
    doubted = llc["run"].isin(["end-s1", "behind-s3", "behind-s4"])
    llc = llc.assign(status=np.where(doubted, "suspect", "ok"))
    early = llc.assign(step=10, status="suspect")  # no part of what is compared at the end
    tables = pd.concat([early, llc], ignore_index=True), probes
    for plan in (
        LINK,
        DIFFERENCE,
        LINK
        | {"kind": "dose", "statistic": "link", "doses": {arm: k for k, arm in enumerate(ARMS)}},
    ):
        row = first(tables, plan)
        assert row["message"] == "3 of its 10 LLCs did not pass their checks" and row["n"] == 10
    assert first(tables, DIFFERENCE | {"step": 10})["message"].startswith("10 of its 10 LLCs")
    goal = {"name": "goal", "kind": "arms", "metric": "behind/m0", "arms": ARMS}
    assert first(tables, goal)["message"] == ""


def test_the_last_step_is_that_of_the_arm() -> None:
    """A run that stopped early, or failed at the end, has no final value."""
    llc, probes = study(rng(10), link=0.95)
    early = llc.assign(step=10, llc=0.0)
    llc = pd.concat([early, llc[llc["run"] != "end-s1"]], ignore_index=True)
    row = first((llc, probes), LINK)
    assert row["n"] == 9 and "end-s1" in row["message"]
    assert np.isnan(first((llc, probes), DIFFERENCE | {"step": 10})["value"])


def test_the_last_step_of_a_run_that_ended_by_itself_is_its_own() -> None:
    llc, probes = study(rng(10), link=0.95)
    ends = {run: 100 + 10 * i for i, run in enumerate(sorted(set(llc["run"])))}
    steps = llc["run"].map(ends)
    covariates = pd.DataFrame({"run": ends.keys(), "step": ends.values(), "final": True})
    claim = DIFFERENCE | {"step": "last"}
    known = evaluate_hypotheses(llc, probes, [claim]).iloc[0]
    parts = [(llc.assign(step=steps), covariates)]  # and so with an earlier step in all tables
    early = covariates.assign(step=0, final=False)
    parts.append((pd.concat([llc.assign(step=0, llc=9.0), llc.assign(step=steps)]),
                  pd.concat([early, covariates])))  # fmt: skip
    for table, of in parts:
        row = evaluate_hypotheses(table, probes, [claim], covariates=of).iloc[0]
        assert row["n"] == 10 and row["message"] == ""
        assert (row["value"], row["p_value"]) == (known["value"], known["p_value"])
        failed = table[~((table["run"] == "end-s1") & (table["step"] == ends["end-s1"]))]
        row = evaluate_hypotheses(failed, probes, [claim], covariates=of).iloc[0]
        assert row["n"] == 9 and "end-s1" in row["message"]
    row = evaluate_hypotheses(llc.assign(step=steps), probes, [claim]).iloc[0]
    assert not row["n"] or row["n"] < 10  # nothing says that they ended there
    going_on = llc["run"].eq("behind-s4")  # further than all that ended, and not at its own end
    table = llc.assign(step=steps.mask(going_on, 1000))
    row = evaluate_hypotheses(
        table, probes, [claim], covariates=covariates[covariates["run"] != "behind-s4"]
    ).iloc[0]
    assert row["n"] == 9 and "behind-s4" in row["message"]


def test_arms_that_are_missing_or_end_elsewhere_are_named() -> None:
    llc, probes = study(rng())
    claim = DIFFERENCE | {"arms": [*ARMS, "both"]}
    row = evaluate_hypotheses(llc, probes, [claim], arms=claim["arms"]).iloc[0]
    assert row["n"] == 10 and row["message"] == "arms without a value: both"
    llc["step"] = llc["step"].where(llc["arm"] == ARMS[0], 700)
    assert first((llc, probes), DIFFERENCE)["message"] == (
        f"arms end at different steps: {ARMS[1]} 700, {ARMS[0]} 1000"
    )


def test_needless_columns_may_be_missing() -> None:
    llc, probes = study(rng(11), rise=6.0)
    bare = llc[["run", "arm", "llc"]]
    assert first((bare, empty("probes")), DIFFERENCE)["p_value"] == pytest.approx(1 / 252)
    assert first((bare, pd.DataFrame()), DIFFERENCE)["n"] == 10
    goal = {"name": "goal", "kind": "arms", "metric": "behind/m0", "arms": ARMS}
    assert first((pd.DataFrame(), probes), goal)["n"] == 10
    row = first((llc.drop(columns="arm"), probes.drop(columns="arm")), LINK)
    assert row["statistic"] == "correlation over seeds"


def test_a_trend_of_a_series_says_that_its_metric_is_not_used() -> None:
    tables = study(rng(), rise=1.0)
    plain, both = (first(tables, DIFFERENCE | m) for m in ({}, {"metric": "behind/m0"}))
    assert both["value"] == plain["value"] and plain["message"] == ""
    assert both["message"] == "the series is compared, not the metric"


@pytest.mark.slow
def test_the_smallest_effect_of_courses_is_found_with_about_80_percent() -> None:
    """What studies without a link say on average, planted."""
    claim = LINK | {"kind": "course", "metric": "behind/coin_rate", "direction": "greater"}

    def rows(seen: float, first_seed: int) -> pd.DataFrame:
        return pd.DataFrame(
            first(clock_study(rng(first_seed + k), runs=8, seen=seen)[:2], claim) for k in range(40)
        )

    told, planted = rows(0.0, 0)["smallest_effect"].mean(), rows(0.13, 50)
    assert planted["value"].mean() == pytest.approx(told, abs=0.04)
    assert 0.6 <= (planted["p_value"] <= 0.05).mean() <= 0.95  # two standard errors of 40


@pytest.mark.slow
def test_the_smallest_gain_of_a_prediction_is_found_with_about_80_percent() -> None:
    """By brute force: studies whose LLC sees its seed's goal as far as gains what is told."""
    claim = LINK | {"kind": "prediction", "metric": "behind/coin_rate"}
    told, found = [], []
    for k in range(4):
        llc, probes, more = clock_study(rng(k), runs=8)
        row = evaluate_hypotheses(llc, probes, [claim], covariates=more).iloc[0]
        told.append(row["smallest_effect"])
    for k in range(40):
        rows = predict_goal(*clock_study(rng(50 + k), runs=8, seen=0.18))
        found.append(rows[rows["model"] == "baseline + llc"].iloc[0])
    planted = pd.DataFrame(found)
    assert planted["gain"].mean() == pytest.approx(np.mean(told), abs=0.02)
    assert 0.6 <= (planted["p_value"] <= 0.05).mean() <= 0.95  # two standard errors of 40


def test_a_link_of_different_checkpoints_says_so() -> None:
    llc, probes = study(rng())
    message = first((llc, probes.assign(step=999)), LINK)["message"]
    assert message == "of different checkpoints: the series of step 1000, the metric of 999"
    assert first((llc, probes), LINK)["message"] == ""


def test_arms_are_compared_by_their_own_spreads() -> None:
    assert rate(60, DIFFERENCE, seeds=(2, 7), spreads=(5.0, 1.0)) <= most(60)  # was 0.18
    assert rate(20, DIFFERENCE, seeds=(4, 6), rise=2.5) >= 0.8


def test_arms_of_unequal_runs_say_what_the_test_takes_for_granted() -> None:
    few = study(rng(), seeds=(3, 5))
    assert first(few, DIFFERENCE)["message"] == ""
    assert first(few, DIFFERENCE | {"statistic": "rank"})["message"] == (
        "the level holds for arms of equal spread alone, with unequal runs: behind 5, end 3"
    )
    message = first(study(rng(), seeds=(5, 2)), DIFFERENCE)["message"]
    assert (
        message == "level approximate: two runs of an arm hardly show its spread (behind 2, end 5)"
    )


def curves(linked: bool, runs: int = 6, n: int = 20) -> tuple[pd.DataFrame, pd.DataFrame]:
    generator = rng(12)
    llc, probes = [], []
    for seed in range(runs):
        own = np.cumsum(generator.normal(size=n))
        name = {"run": f"end-s{seed}", "arm": "end", "step": np.arange(n) * 1000}
        clock = np.linspace(0, 30, n)
        llc.append(pd.DataFrame(name | {"llc": clock + own}))
        value = clock + (own if linked else np.cumsum(generator.normal(size=n)))
        probes.append(pd.DataFrame(name | {"probe": "behind", "metric": "m0", "value": value}))
    return pd.concat(llc), pd.concat(probes)


@pytest.mark.parametrize("kind", ["course", "prediction"])
def test_courses_that_go_together_are_found_over_runs(kind: str) -> None:
    claim = LINK | {"kind": kind, "direction": "greater"}
    linked = first(curves(True), claim)
    if kind == "course":
        assert linked["p_value"] == 1 / 720 and linked["value"] > 0.99
    assert linked["n"] == 6 and linked["ci_low"] <= linked["value"] <= linked["ci_high"]
    assert first(curves(False), claim)["p_value"] > 0.05


def test_a_loss_of_prediction_supports_nothing_where_no_direction_is_given() -> None:
    """Two-sided, a gain far below those of permuted runs would count as one far above."""
    either = first(curves(False), LINK | {"kind": "prediction"})
    rise = first(curves(False), LINK | {"kind": "prediction", "direction": "greater"})
    assert either["direction"] == "greater" and either["p_value"] == rise["p_value"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"role": "main"}, "role='main': must be primary, secondary or exploratory"),
        ({"kind": "seed"}, "kind='seed': must be arms, dose, seeds, course or prediction"),
        ({"direction": "up"}, "direction='up': must be greater, less or two-sided"),
        ({"metric": None}, "metric=None: must be PROBE/METRIC for kind seeds"),
        ({"metric": "behind"}, "metric='behind': must be PROBE/METRIC, as behind/coin_rate"),
        ({"metric": "behind/no"}, "metric='behind/no': must be one of behind/m0"),
        ({"series": "entropie"}, "series='entropie': must be one of "),
        ({"loss": "nll"}, "loss='nll': must be one of kl"),
        ({"states": "mine"}, "states='mine': must be one of frozen"),
        ({"step": 7}, "step=7: must be last or one of 1000"),
        ({"given": ["height"]}, "given='height': must be among "),
        ({"arms": ["end", "up"]}, "arms='up': must be among end, behind"),
        ({"kind": "arms"}, "arms=None: must be at least two arms"),
        ({"kind": "dose"}, "doses=None: must be two different numbers of arms; give `doses"),
        ({"name": ""}, "name='': must be"),
        ({"series": "seed"}, "series='seed': must be a measure, as llc or entropy"),
        ({"given": ["step"]}, "given='step': must be a measure, as llc or entropy"),
        ({"arms": "end"}, "arms='end': must be a list"),
        ({"step": -1}, "step=-1: must be an integer at least 0, or last"),
        (COURSE | {"given": ["entropy"]}, "must be left out for kind course; its courses are"),
        (COURSE | {"kind": "prediction", "given": ["entropy"]}, "kind prediction; its baseline"),
        ({"typo": 1}, "typo: unknown setting; allowed: name, role"),
    ],
)
def test_a_wrong_hypothesis_is_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate_hypotheses(*study(rng()), [LINK | change])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_hypotheses_must_go_together() -> None:
    with pytest.raises(InputError, match="name='link': must be the name of one"):
        evaluate_hypotheses(*study(rng()), [LINK, LINK])
    with pytest.raises(InputError, match="role='primary': must be that of one hypothesis, 'link'"):
        evaluate_hypotheses(*study(rng()), [LINK, LINK | {"name": "other"}])


def test_a_lenient_call_writes_the_reason_into_the_row() -> None:
    found = evaluate_hypotheses(*study(rng()), [LINK | {"metric": "behind/no"}], strict=False)
    assert found["message"][0].startswith("metric='behind/no': must be one of")
