"""Statistics over runs: each table says what the runs allow, and no more."""

import numpy as np
import pandas as pd
import pytest
from synthetic_series import ar1

from analysis import schema
from rl_slt.pipeline.stages.analyse import final_goal, goal_pairs, over_runs

STEPS = np.array([0, *np.geomspace(1e3, 1e6, 11).round()]).astype(int)


def tables(seeds: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two arms; half the seeds of each end with one goal, and their LLC shows it from the start."""
    rng = np.random.default_rng(0)
    llc, probes, covariates = [], [], []
    for arm in ("end", "coin"):
        for seed in range(seeds):
            name, n, goal = f"{arm}-s{seed}", len(STEPS), 0.2 + 0.6 * (seed % 2)
            shared = {"run": name, "arm": arm, "step": STEPS}
            kl = {"seed": seed, "loss": "kl", "states": "frozen", "params": "all",
                  "llc_stderr": 0.5, "status": "ok"}  # fmt: skip
            value = 20 + 20 * goal + rng.normal(0, 0.5, n)
            own = {"reference": "self", "llc": value, "loss_init": 0.0}
            far = 0.05 if arm == "end" else 0.01
            to = {"reference": "coin-s0@1000000", "llc": value + (arm == "coin") * 10,
                  "loss_init": far}  # fmt: skip
            llc += [pd.DataFrame(shared | kl | own), pd.DataFrame(shared | kl | to)]
            rate = np.clip(goal * STEPS / 1e6 + 0.02 * ar1(rng, n, 0.0), 0, 1)
            probe = {"probe": "behind", "metric": "coin_rate", "n": 50}
            probes.append(pd.DataFrame(
                shared | probe | {"value": rate, "ci_low": rate, "ci_high": rate}))  # fmt: skip
            known = {"entropy": ar1(rng, n, 0.5), "weight_norm": STEPS + 1.0, "return": rate,
                     "step_kl": [np.nan, *ar1(rng, n - 1, 0.0)]}  # fmt: skip
            covariates.append(pd.DataFrame(shared | known))
    return pd.concat(llc), pd.concat(probes), pd.concat(covariates)


def test_six_seeds_fill_every_table() -> None:
    found = over_runs(*tables(6))
    assert set(found) == set(schema.OVER_RUNS)
    for name in ("predictions", "path_dependence"):
        assert (found[name]["run"] == schema.ALL_RUNS).all() and len(found[name]), name
        assert (found[name]["arm"] == schema.ALL_RUNS).all()
    links = found["associations"]
    assert set(zip(links["run"], links["arm"], strict=True)) == {
        ("*", "*"), *((f"{arm}-s{seed}", arm) for arm in ("end", "coin") for seed in range(6))
    }  # fmt: skip
    further = found["hypotheses"]
    assert set(further["role"]) == {"exploratory"} and len(further) == 2
    assert further["p_adjusted"].min() <= 0.05
    early = found["path_dependence"]
    first = early[(early["feature"] == "llc:kl/frozen") & (early["step"] == 0)].iloc[0]
    assert first["accuracy"] > 0.9 and first["p_adjusted"] <= 0.05
    both = found["predictions"].query("model == 'baseline + llc'").iloc[0]
    assert both["gain"] > 0 and both["q_value"] >= both["p_value"]
    assert set(both["features"].split(", ")) >= {"entropy", "step_kl", "llc"}
    assert not early["feature"].str.contains("@").any()  # the yardstick's LLC is no early sign


def test_one_seed_says_what_it_cannot_show() -> None:
    llc, probes, covariates = tables(1)
    one = [frame[frame["run"] == "end-s0"] for frame in (llc, probes, covariates)]
    found = over_runs(*one)
    assert found["predictions"]["rmse"].isna().all()
    assert found["predictions"]["note"].str.contains("too few runs to show").all()
    assert found["path_dependence"]["p_value"].isna().all()


def test_a_hypothesis_that_the_tables_lack_has_its_reason() -> None:
    claim = {"name": "claim", "role": "primary", "kind": "arms", "arms": ["end", "moon"]}
    found = over_runs(*tables(2), hypotheses=[claim], arms=["end", "coin", "moon"])["hypotheses"]
    assert found["message"][0] == "needs runs of two arms with a value, has 1"
    found = over_runs(*tables(2), hypotheses=[claim])["hypotheses"]
    assert found["message"][0] == "arms='moon': must be among end, coin"


def test_empty_tables_stay_empty() -> None:
    found = over_runs(*(schema.empty(name) for name in ("llc", "probes", "covariates")))
    assert all(frame.empty for frame in found.values())


@pytest.mark.parametrize(
    ("metrics", "goal"),
    [
        ([("suite", "coin_seeking"), ("behind", "coin_rate")], ("suite", "coin_seeking")),
        ([("behind", "coin_rate"), ("behind", "death_rate")], ("behind", "coin_rate")),
        ([("none", "end_rate")], None),
        ([("counterfactual", "toward:left")], None),
    ],
)
def test_the_final_goal_is_the_best_score_there_is(
    metrics: list[tuple[str, str]], goal: tuple[str, str] | None
) -> None:
    probes = pd.DataFrame([{"probe": p, "metric": m, "value": 0.5} for p, m in metrics])
    assert final_goal(goal_pairs(probes)) == goal


def test_variants_and_others_rates_are_not_tested_for_a_link() -> None:
    llc, probes, covariates = tables(2)
    kept = [("counterfactual", "toward:left"), ("readout", "gain:policy_head")]
    left = [("counterfactual", "kl:left"), ("readout", "accuracy:untrained:policy_head"),
            ("behind", "coin_rate:coin-blind")]  # fmt: skip
    more = [probes.assign(probe=p, metric=m) for p, m in [*kept, *left]]
    both = pd.concat([probes, *more], ignore_index=True)
    found = over_runs(llc, both, covariates)
    for name in ("associations", "predictions"):
        pairs = set(zip(found[name]["probe"], found[name]["metric"], strict=True))
        assert pairs == {("behind", "coin_rate"), *kept}, name
    assert set(goal_pairs(both)) == {("behind", "coin_rate"), *kept}
