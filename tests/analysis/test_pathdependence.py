"""Does an early value show the final goal?"""

import numpy as np
import pandas as pd
import pytest

from analysis import pathdependence
from analysis.pathdependence import left_out_accuracy, path_dependence
from rl_slt import InputError

STEPS = [0, 10, 100, 1000, 2000, 3000]


def tables(
    early: np.ndarray, goal: np.ndarray, arms: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """LLC that is `early` from step 10 on; a probe that ends at `goal`."""
    llc, probes = [], []
    for seed, arm in enumerate(arms):
        key = {"run": f"mine {seed}", "arm": arm, "step": STEPS}
        llc.append(pd.DataFrame(
            key | {"seed": seed, "loss": "kl", "reference": "self", "states": "frozen",
                   "params": "all", "llc": [0.0, *[early[seed]] * 5], "llc_stderr": 0.1,
                   "status": "ok"}
        ))  # fmt: skip
        value = np.array([0.0] * 3 + [goal[seed]] * 3)
        probes.append(pd.DataFrame(
            key | {"probe": "behind", "metric": "coin", "value": value, "ci_low": value,
                   "ci_high": value, "n": 50}
        ))  # fmt: skip
    return pd.concat(llc), pd.concat(probes)


GOAL = np.tile([0.1, 0.9], 4)
RNG = np.random.default_rng(0)


def at(found: pd.DataFrame, feature: str, step: int) -> pd.Series:
    return found[(found["feature"] == feature) & (found["step"] == step)].iloc[0]


def test_an_early_sign_is_found_and_chance_is_chance() -> None:
    early = 10 * GOAL + 0.1 * RNG.standard_normal(8)
    found = path_dependence(*tables(early, GOAL, ["a"] * 8), "behind", "coin")
    found_at = at(found, "llc:kl/frozen", 10)
    assert found_at["accuracy"] == 1.0
    assert 0.3 < found_at["chance"] < 0.6
    assert found_at["p_value"] < 0.05
    assert found_at["q_value"] >= found_at["p_value"]
    before = at(found, "llc:kl/frozen", 0)
    assert before["accuracy"] == 0.5  # every run alike: all ties
    assert before["p_value"] > 0.5
    assert found["step"].max() == 100


def test_noise_tells_nothing() -> None:
    p = []
    for _ in range(20):
        found = path_dependence(*tables(RNG.standard_normal(8), GOAL, ["a"] * 8), "behind", "coin")
        p.append(at(found, "llc:kl/frozen", 10)["p_value"])
    assert np.mean(np.array(p) <= 0.05) <= 0.2


def test_a_part_of_the_final_goal_is_no_early_sign_of_it() -> None:
    """A probe without memory: the last but one of three values tells much of their mean."""
    generator = np.random.default_rng(5)
    found = []
    for _ in range(10):
        llc, probes = tables(np.zeros(20), np.zeros(20), ["a"] * 20)
        noise = probes.assign(value=generator.standard_normal(len(probes)))
        rows = path_dependence(llc, noise, "behind", "coin", cut=0.0)
        found += rows[rows["feature"] == "probe:behind:coin"]["p_value"].tolist()
    assert len(found) == 30 and np.mean(np.array(found) <= 0.05) <= 0.15


def test_a_run_that_ended_early_has_no_early_values_at_its_end() -> None:
    llc, probes = tables(GOAL, GOAL, ["a"] * 8)
    probes = probes[(probes["run"] != "mine 0") | (probes["step"] <= 1000)]
    found = path_dependence(llc, probes, "behind", "coin")
    assert at(found, "llc:kl/frozen", 0)["n"] == 8
    assert at(found, "llc:kl/frozen", 10)["n"] == 7  # its goal is of steps 10 to 1,000


def test_an_arm_that_tells_all_is_no_path_dependence() -> None:
    goal = np.repeat([0.1, 0.9], 4)
    data = tables(10 * goal, goal, ["a"] * 4 + ["b"] * 4)
    row = at(path_dependence(*data, "behind", "coin"), "llc:kl/frozen", 10)
    assert np.isnan(row["p_value"])
    assert row["note"] == "the arm alone tells the goal"
    free = path_dependence(*data, "behind", "coin", within_arms=False)
    assert at(free, "llc:kl/frozen", 10)["p_value"] < 0.05


def test_few_runs_and_one_goal_have_a_reason() -> None:
    few = path_dependence(*tables(GOAL, GOAL, ["a"] * 3), "behind", "coin")
    assert few["p_value"].isna().all()
    assert few["note"].str.contains("needs 5 runs, has 3").all()
    same = path_dependence(*tables(GOAL, GOAL, ["a"] * 8), "behind", "coin", cut=5.0)
    assert (same["note"] == "all runs end with the same goal").all()


def test_accuracy_leaves_the_run_itself_out() -> None:
    early = np.array([0.0, 0.1, 1.0, 1.1, 0.9])
    goals = np.array([[False, False, True, True, False], [False, False, True, True, True]])
    assert left_out_accuracy(early, goals) == pytest.approx([0.8, 1.0])
    alone = left_out_accuracy(np.array([0.0, 1.0, 1.1]), np.array([[False, True, True]]))
    assert alone[0] == pytest.approx((0.5 + 1 + 1) / 3)


def test_an_early_sign_among_many_features_is_found() -> None:
    """A floor of 1/1000 with 153 Benjamini-Yekutieli tests could not pass 5 %."""
    generator = np.random.default_rng(3)
    goal = np.tile([0.1, 0.9, 0.9, 0.1], 3)
    llc, probes = tables(10 * goal + 0.1 * generator.standard_normal(12), goal, ["a", "b"] * 6)
    noise = [probes.assign(metric=f"noise{k}", value=generator.standard_normal(len(probes)))
             for k in range(50)]  # fmt: skip
    found = path_dependence(llc, pd.concat([probes, *noise]), "behind", "coin")
    assert len(found) == 3 * 52
    sign = at(found, "llc:kl/frozen", 10)
    assert sign["accuracy"] == 1.0 and sign["p_adjusted"] <= 0.05
    others = found[~found["feature"].isin(["llc:kl/frozen", "probe:behind:coin"])]
    assert (others["p_adjusted"] > 0.05).all()
    assert (found["p_adjusted"] >= found["p_value"] - 1e-12).all()


def test_unknown_probe_is_named() -> None:
    with pytest.raises(InputError, match="probe='nope/coin': must be"):
        path_dependence(*tables(GOAL, GOAL, ["a"] * 8), "nope", "coin")


@pytest.mark.slow
def test_the_separation_that_is_told_is_found_in_eighty_percent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the whole function, on runs of both kinds whose early LLCs are so far apart."""
    goal, rng = np.repeat([0.1, 0.9], 6), np.random.default_rng(1)

    def row(apart: float) -> pd.Series:
        early = apart * (goal > 0.5) + rng.standard_normal(12)
        found = path_dependence(*tables(early, goal, ["a"] * 12), "behind", "coin")
        return at(found, "llc:kl/frozen", 10)

    told = row(0.0)["smallest_effect"]
    assert 1.0 < told < 4.0
    monkeypatch.setattr(pathdependence, "smallest_separation", lambda *_: np.nan)  # told already
    # as one more early value it would be corrected with those here, as one of them with fewer
    assert np.mean([row(told)["p_adjusted"] <= 0.05 for _ in range(30)]) >= 0.7
    assert np.mean([row(told / 2)["p_adjusted"] <= 0.05 for _ in range(15)]) <= 0.7


def test_few_runs_can_show_no_early_sign() -> None:
    found = path_dependence(*tables(GOAL[:5], GOAL[:5], ["a"] * 5), "behind", "coin")
    assert found["p_value"].notna().any() and found["smallest_effect"].isna().all()
