"""Differences of two policies, against hand-made ones."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.compare import compare_policies, largest_deviation, most_different, where_differ
from rl_slt import InputError


class Table(torch.nn.Module):
    """A policy that looks its action probabilities up by the state's number."""

    def __init__(self, probabilities: list[list[float]], values: list[float] | None = None) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(probabilities).log())
        self.values = None if values is None else torch.tensor(values)

    def forward(self, states: torch.Tensor) -> object:
        logits = self.logits[states]
        return logits if self.values is None else (logits, self.values[states])


A = Table([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]], [1.0, 2.0, 3.0])
B = Table([[0.5, 0.5], [0.1, 0.9], [0.5, 0.5]], [1.0, 0.0, 3.5])


def test_each_state_has_its_exact_difference() -> None:
    frame = compare_policies(A, B, torch.tensor([0, 1, 2]), batch_size=2)
    assert frame["kl_ab"].tolist() == pytest.approx([0.0, 0.8 * math.log(9), math.log(2)], abs=1e-6)
    assert frame["kl_ba"].tolist()[:2] == pytest.approx([0.0, 0.8 * math.log(9)], abs=1e-6)
    assert frame["kl_ba"].iloc[2] == math.inf
    assert frame["tv"].tolist() == pytest.approx([0.0, 0.8, 0.5], abs=1e-6)
    assert frame["action_a"].tolist()[1:] == [0, 0] and frame["action_b"].iloc[1] == 1
    assert frame["p_a"].iloc[1] == pytest.approx(0.9) and frame["p_b"].iloc[1] == pytest.approx(0.1)
    assert frame["value_gap"].tolist() == pytest.approx([0.0, -2.0, 0.5])


def test_actions_that_do_the_same_count_as_one() -> None:
    a, b = Table([[0.5, 0.3, 0.2]]), Table([[0.5, 0.1, 0.4]])
    frame = compare_policies(a, b, torch.tensor([0]), classes=[[0], [2, 1]])
    assert frame["kl_ab"].tolist() == pytest.approx([0.0], abs=1e-6)
    assert frame["tv"].tolist() == pytest.approx([0.0], abs=1e-6)
    wide = compare_policies(a, Table([[0.2, 0.3, 0.5]]), torch.tensor([0]), classes=[[0], [2, 1]])
    assert wide["tv"].tolist() == pytest.approx([0.3], abs=1e-6)
    assert wide["action_b"].tolist() == [2] and wide["p_b"].tolist() == pytest.approx([0.2])


def test_policies_are_left_as_they_were() -> None:
    a = Table([[0.4, 0.6]]).train()
    before = a.logits.detach().clone()
    frame = compare_policies(a, Table([[0.4, 0.6]]), torch.zeros(3, dtype=torch.long))
    assert a.training and torch.equal(a.logits, before) and a.logits.grad is None
    assert frame["value_gap"].isna().all()


def test_kinds_are_ranked_with_intervals_over_groups() -> None:
    frame = pd.DataFrame(
        {"state": range(6), "group": [0, 0, 1, 1, 2, 2], "kl_ab": [1.0, 3.0, 4.0, 4.0, 0.1, 0.1]}
    )
    table = where_differ(frame, ["seen"] * 4 + ["unseen"] * 2)
    assert table["kind"].tolist() == ["seen", "unseen"]
    seen = table.iloc[0]
    # group means 2 and 4: mean 3, standard error 1, t with one degree of freedom
    assert (seen["value"], seen["states"], seen["groups"], seen["largest"]) == (3.0, 4, 2, 4.0)
    assert seen["high"] - 3.0 == pytest.approx(12.7062, abs=1e-3)
    assert math.isnan(table.iloc[1]["low"])


def test_the_bound_on_what_was_not_seen_holds_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        drawn = rng.random(30)  # of uniform deviations a share 1 - max lies beyond the largest
        frame = pd.DataFrame({"state": range(30), "group": range(30), "tv": drawn})
        bound = largest_deviation(frame, confidence=0.9)
        held += 1 - bound["largest"] <= bound["share_beyond"]
    assert 0.88 < held / 2000 < 0.92


def test_states_of_one_episode_count_once() -> None:
    frame = pd.DataFrame({"state": range(40), "group": [i // 10 for i in range(40)], "tv": 0.5})
    frame.loc[17, "tv"] = 0.9
    bound = largest_deviation(frame)
    assert (bound["state"], bound["largest"], bound["groups"]) == (17, 0.9, 4)
    assert bound["share_beyond"] == pytest.approx(1 - 0.05**0.25)
    shown = most_different(frame.assign(kl_ab=frame["tv"]), n=3)
    assert shown["state"].iloc[0] == 17 and shown["group"].is_unique and len(shown) == 3


def test_mistakes_are_named() -> None:
    states = torch.tensor([0])
    with pytest.raises(InputError, match="no states"):
        compare_policies(A, B, states[:0])
    with pytest.raises(InputError, match="2 and 3 actions"):
        compare_policies(A, Table([[0.2, 0.3, 0.5]]), states)
    with pytest.raises(InputError, match="2 groups for 1 states"):
        compare_policies(A, B, states, groups=[1, 2])
    frame = compare_policies(A, B, states)
    with pytest.raises(InputError, match="measure='distance': must be one of kl_ab"):
        most_different(frame, measure="distance")
    with pytest.raises(InputError, match="confidence=1: must be above 0 and below 1"):
        largest_deviation(frame, confidence=1)
    with pytest.raises(InputError, match="one per state"):
        where_differ(frame, [])
