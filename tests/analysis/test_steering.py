"""Steering of a policy with a linear coin feature, where every effect is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.known import EFFECT, RIGHT, WIDTH, Seer, moved, seen_states
from analysis.probes import GoalScores, ProbeSuite
from analysis.steering import (
    CoinVector,
    coin_vector,
    describe_steering,
    drift,
    hooked,
    steer_states,
    steer_suite,
)
from envs import PLAIN_FLAT
from rl_slt import InputError


def values(table: pd.DataFrame, column: str = "value") -> dict[str, float]:
    return dict(zip(table["change"], table[column].astype(float), strict=True))


def test_each_change_does_what_is_known_of_a_linear_feature() -> None:
    policy, scores = Seer(), GoalScores(seen_states())
    vector = coin_vector(policy, "eye", scores, "left")
    assert torch.allclose(vector.vector, policy.eye.weight[:, 0], atol=1e-6)
    effect = moved(1 - EFFECT) - moved(1)
    table = steer_states(policy, vector, scores, "left", controls=64)
    found = values(table)
    assert table["n"].eq(4).all() and values(table, "without")["add"] == pytest.approx(moved(1))
    for change in ("coin", "add", "patch"):
        assert found[change] == pytest.approx(effect, abs=1e-6)
    assert found["replace"] == pytest.approx(-effect, abs=1e-6)
    # Of a random vector of that length the head sees a normal part of variance 1 / width.
    pushes = 1 - EFFECT * np.random.default_rng(0).normal(size=100_000) / WIDTH**0.5
    away = np.tanh(pushes / 2) - moved(1)
    assert found["random"] == pytest.approx(away.mean(), abs=3 * away.std() / 8)
    # The coin's states are one vector's length from the mean without it: pushed as far, too.
    pushes = 1 - EFFECT * (1 + np.random.default_rng(1).normal(size=100_000) / WIDTH**0.5)
    away = np.tanh(pushes / 2) - moved(1 - EFFECT)
    assert found["random-replace"] == pytest.approx(away.mean(), abs=3 * away.std() / 8)
    ends = [values(table, name) for name in ("least", "most")]
    least, most = (end["random"] for end in ends)
    assert effect < least < found["random"] < most  # none of 64 does as much as the coin
    least, most = (end["random-replace"] for end in ends)
    assert least < found["random-replace"] < most < found["replace"]
    assert np.isnan([end["replace"] for end in ends]).all()
    twice = values(steer_states(policy, vector, scores, "left", strength=2.0, controls=2))
    assert twice["add"] == pytest.approx(moved(1 - 2 * EFFECT) - moved(1), abs=1e-6)


def test_a_module_that_the_goal_does_not_go_through_changes_nothing() -> None:
    policy, scores = Seer(), GoalScores(seen_states())
    with pytest.raises(InputError, match="one in which a coin changes something"):
        coin_vector(policy, "blind", scores, "left")
    right = coin_vector(policy, "eye", scores, "right")  # seen, and not used
    found = values(steer_states(policy, right, scores, "right", controls=2))
    assert max(abs(found[name]) for name in ("coin", "add", "patch", "replace")) < 1e-6


def test_hooks_are_taken_off_and_wrong_modules_refused() -> None:
    policy = Seer()
    frames = GoalScores(seen_states()).frames("none")
    before = drift(policy, frames)
    with pytest.raises(RuntimeError), hooked(policy, "eye", lambda out: out + 1):
        assert np.abs(drift(policy, frames) - before).max() > 0.01
        raise RuntimeError
    assert np.array_equal(drift(policy, frames), before)
    with pytest.raises(InputError, match="module='moon': must be one of eye, blind, head"):
        coin_vector(policy, "moon", GoalScores(seen_states()), "left")


def test_a_steered_agent_turns_around_in_rollouts() -> None:
    policy = Seer()
    vector = CoinVector("eye", 3 * policy.eye.weight[:, 0].detach(), torch.zeros(WIDTH))
    policy.head.bias.data[RIGHT] = 12.0  # hardly ever left by itself
    policy.head.weight.data *= 4
    suite = ProbeSuite(name="few", placements=("none@mid",), n_levels=4, time_limit=60,
                       settings=PLAIN_FLAT)  # fmt: skip
    table = steer_suite(policy, vector, suite, controls=2)
    ends, lengths = (table[table["metric"] == name] for name in ("end_rate", "length"))
    reached = values(ends, "without")["add"]
    assert reached >= 0.75 and ends["n"].eq(4).all()
    assert values(ends)["add"] == -reached and values(ends)["replace"] == 0
    assert "coin_rate" not in set(table["metric"])  # there is no coin
    still = lengths["change"].str.contains("replace")
    assert lengths.loc[still, ["ci_low", "ci_high"]].isna().all(axis=None)
    assert lengths.loc[~still, "ci_low"].notna().any()
    assert any("length    replace        +0.00 (no level changed)" in line
               for line in describe_steering(table))  # fmt: skip
    assert values(lengths)["add"] > 10 and values(lengths)["replace"] == 0
    assert values(lengths)["random-replace"] == 0  # no state is off the mean without a coin


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(InputError, match="on both sides=3: must be at least 4; take more levels"):
        coin_vector(Seer(), "eye", GoalScores(seen_states(3)), "left")
    policy, scores = Seer(), GoalScores(seen_states(4))
    table = steer_states(policy, coin_vector(policy, "eye", scores, "left"), scores, "left")
    assert table["n"].eq(2).all() and table["value"].notna().all()
    assert table["ci_low"].notna().any()  # where both levels changed alike there is none
