"""Prediction of the goal: the LLC helps where it knows more, and only there."""

import numpy as np
import pandas as pd
import pytest
from planted_studies import clock_study
from sklearn.linear_model import Ridge
from synthetic_series import ar1, log_steps

from analysis import evaluate_hypotheses
from analysis.prediction import predict_goal, prediction_task
from rl_slt import InputError


def tables(runs: int, shown: float, n: int = 24) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The probe follows a hidden course one checkpoint late; the LLC shows it as far as shown."""
    rng = np.random.default_rng(0)
    llc, probes, covariates = [], [], []
    for seed in range(runs):
        key = {"run": f"a-s{seed}", "step": log_steps(n).astype(int)}
        hidden = ar1(rng, n + 1, 0.3)
        seen = shown * hidden[1:] + 0.3 * ar1(rng, n, 0.0)
        llc.append(pd.DataFrame(
            key | {"seed": seed, "loss": "kl", "reference": "self", "states": "frozen",
                   "params": "all", "llc": seen, "llc_stderr": 0.3, "status": "ok"}
        ))  # fmt: skip
        value = hidden[:-1] + 0.3 * ar1(rng, n, 0.0)
        probes.append(pd.DataFrame(
            key | {"probe": "behind", "metric": "coin", "value": value, "ci_low": value - 0.1,
                   "ci_high": value + 0.1, "n": 50}
        ))  # fmt: skip
        covariates.append(pd.DataFrame(key | {"entropy": ar1(rng, n, 0.5), "return": value}))
    return pd.concat(llc), pd.concat(probes), pd.concat(covariates)


def with_llc(found: pd.DataFrame) -> pd.Series:
    return found[found["model"] == "baseline + llc"].iloc[0]


def test_an_llc_that_knows_more_gains() -> None:
    found = predict_goal(*tables(6, shown=1.0))
    assert set(found["model"]) == {"baseline", "baseline + llc", "llc", "mean"}
    row = with_llc(found)
    assert row["gain"] > 0.3
    assert row["gain_low"] > 0
    assert row["p_value"] == 1 / 720  # the best of all pairings of six runs
    assert row["r2"] > 0.5
    assert "weight_norm" in row["note"]
    assert "entropy" in row["features"]


def test_an_llc_that_knows_nothing_gains_nothing() -> None:
    row = with_llc(predict_goal(*tables(6, shown=0.0)))
    assert row["gain"] < 0.05
    assert row["p_value"] > 0.05


def test_one_run_says_what_it_cannot_show() -> None:
    found = predict_goal(*tables(1, shown=1.0))
    assert found["rmse"].isna().all()
    assert (
        found["note"]
        .str.contains("too few runs to show a prediction: needs 2 with values, has")
        .all()
    )
    four = predict_goal(*tables(4, shown=1.0))
    assert four["p_value"].isna().all()
    assert four["note"].str.contains("no p-value below 5 seeds").all()


def test_mistakes_are_named() -> None:
    llc, probes, covariates = tables(1, 1.0)
    with pytest.raises(InputError, match="horizon=0: must be at least 1"):
        predict_goal(llc, probes, covariates, horizon=0)
    with pytest.raises(InputError, match="must have a column 'run'"):
        predict_goal(llc, probes, covariates.drop(columns="run"))


def test_too_few_checkpoints_give_no_numbers() -> None:
    found = predict_goal(*tables(3, shown=1.0, n=4))
    assert found["rmse"].isna().all()
    assert found["note"].str.contains("too few checkpoints: 6 to learn from").all()


def test_a_clock_predicts_nothing_and_a_link_is_found() -> None:
    """An LLC that only follows the step passed in 20 % of ten runs, 68 % of thirty."""
    for runs, count in ((10, 30), (30, 12)):
        hits = [
            with_llc(predict_goal(*clock_study(np.random.default_rng(k), runs=runs)))["p_value"]
            <= 0.05
            for k in range(count)
        ]
        assert np.mean(hits) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / count), runs
    row = with_llc(predict_goal(*clock_study(np.random.default_rng(0), seen=1.0)))
    assert row["p_value"] <= 0.01 and row["gain"] > 0.1
    assert "spline of log step, arm" in row["features"]


def test_the_power_of_the_goal_is_that_of_the_same_hypothesis() -> None:
    llc, probes, covariates = clock_study(np.random.default_rng(0), runs=10, n=10)
    found = predict_goal(llc, probes, covariates, goal=("behind", "coin_rate"))
    told = found.set_index("model")["smallest_effect"]
    claim = {"name": "ahead", "role": "primary", "kind": "prediction", "metric": "behind/coin_rate"}
    named = evaluate_hypotheses(llc, probes, [claim], covariates=covariates)
    # of 1,000 permutations and of 15,000; sizes are a quarter octave apart, gains two of these
    assert told["baseline + llc"] == pytest.approx(named["smallest_effect"][0], rel=0.5)
    assert told.drop("baseline + llc").isna().all()
    assert predict_goal(llc, probes, covariates)["smallest_effect"].isna().all()


def test_the_gain_is_that_of_a_ridge_regression_fitted_run_by_run() -> None:
    """Cross products of pairs of runs stand in for rows: the same errors, each run left out."""
    llc, probes, covariates = tables(5, shown=1.0)
    one = llc.set_index(["run", "step"])["llc"]
    two = probes.set_index(["run", "step"])["value"]
    arms = dict.fromkeys(llc["run"], "a")
    task = prediction_task(one, two, covariates, arms, horizon=1)
    order = np.array([[2, 0, 1, 4, 3]])
    found = task.errors(task.baseline, task.own, order)[0]
    rows = np.concatenate([task.baseline[:, :, 1:], task.own[order[0]]], axis=2)
    for left in range(5):
        others = [r for r in range(5) if r != left]
        x, y = (part[others].reshape(-1, *part.shape[2:]) for part in (rows, task.target))
        model = Ridge(alpha=task.penalty).fit(x, y)
        error = np.mean((model.predict(rows[left]) - task.target[left]) ** 2)
        assert found[left] == pytest.approx(error, rel=1e-6)


def test_a_gap_in_one_run_moves_no_outcome_to_another_checkpoint() -> None:
    """The run without the sixth checkpoint would predict the seventh where others do the sixth."""
    llc, probes, covariates = tables(5, shown=1.0)
    one = llc.set_index(["run", "step"])["llc"]
    steps = list(dict.fromkeys(llc["step"]))
    two = pd.Series(
        probes["step"].to_numpy(float), pd.MultiIndex.from_frame(probes[["run", "step"]])
    )
    gap = one.drop(("a-s0", steps[5]))
    task = prediction_task(gap, two, covariates, dict.fromkeys(llc["run"], "a"), horizon=1)
    assert (task.target == task.target[0]).all()
    assert task.steps == tuple(s for s in steps[:-1] if s not in steps[4:7])
    assert "without 14 checkpoints" in task.note  # three of each run, less the one that is lacking


def test_pairs_are_corrected_together() -> None:
    llc, probes, covariates = clock_study(np.random.default_rng(1), seen=1.0)
    rng = np.random.default_rng(2)
    noise = [probes.assign(metric=f"noise{k}", value=rng.normal(size=len(probes)))
             for k in range(5)]  # fmt: skip
    found = predict_goal(llc, pd.concat([probes, *noise]), covariates).dropna(subset=["p_value"])
    assert len(found) == 6 and (found["p_adjusted"] >= found["p_value"] - 1e-12).all()
    assert found[found["p_adjusted"] <= 0.05]["metric"].tolist() == ["coin_rate"]
