"""Bounds on how two agents differ, against processes whose answers are known exactly."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from analysis.compare import deviation_bounds, mean_below, play_both
from envs import LevelSettings, Task, find_game
from rl_slt import InputError

CLASSES = find_game("coinrun").distinct_actions


@pytest.mark.parametrize("error", [0.05, 0.3])
@pytest.mark.parametrize("n", [5, 200])
def test_an_expectation_is_below_with_the_promised_probability(n: int, error: float) -> None:
    draw = np.random.default_rng(0)
    for samples, mean in (
        (draw.random((2000, n)) < 0.02, 0.02),
        (draw.beta(0.2, 2, (2000, n)), 0.2 / 2.2),
        (draw.random((2000, n)), 0.5),
    ):
        bounds = [mean_below(sample.astype(float), (0.0, 1.0), error) for sample in samples]
        assert np.mean(np.array(bounds) < mean) <= error
    shifted = [mean_below(7 * x - 3, (-3.0, 4.0), error) for x in samples[:50]]
    assert shifted == pytest.approx([7 * bound - 3 for bound in bounds[:50]])
    assert max(bounds) <= 1


def test_the_better_of_two_inequalities_counts() -> None:
    calm, wild = np.full(200, 0.5), np.tile([0.0, 1.0], 100)
    bernstein = 0.5 + 7 * np.log(80) / (3 * 199)
    assert mean_below(calm, (0.0, 1.0), 0.05) == pytest.approx(bernstein)
    hoeffding = 0.5 + np.sqrt(np.log(40) / 400)
    assert mean_below(wild, (0.0, 1.0), 0.05) == pytest.approx(hoeffding)


def plays_of_a_process(levels: int) -> tuple[pd.DataFrame, float, float, float]:
    """Episodes of two policies on a random process with known answers.

    Returns:
        The episodes, the true probability of staying together, the true difference of means of
        `coin_collected`, and the true expected sum of total variations (mean of both visitors').
    """
    draw = np.random.default_rng(3)
    states, actions, limit = 4, 3, 6
    moves = draw.dirichlet(np.ones(states), (states, actions))
    pays = draw.random((states, actions)) < 0.2  # the episode is won, and goes on unseen
    p = draw.dirichlet(np.ones(actions), states)
    q = 0.85 * p + 0.15 * draw.dirichlet(np.ones(actions), states)

    def won(policy: NDArray[np.float64]) -> float:
        lost = np.eye(states)[0]
        for _ in range(limit):
            lost = np.einsum("s,sa,sat->t", lost, policy * ~pays, moves)
        return float(1 - lost.sum())

    def visits(policy: NDArray[np.float64]) -> float:
        at, total = np.eye(states)[0], 0.0
        for _ in range(limit):
            total += float(at @ np.abs(p - q).sum(axis=1) / 2)
            at = np.einsum("s,sa,sat->t", at, policy, moves)
        return total

    together = np.eye(states)[0]
    for _ in range(limit):
        together = np.einsum("s,sa,sat->t", together, np.minimum(p, q), moves)
    rows = []
    for level in range(levels):
        for player, own, other in (("a", p, q), ("b", q, p)):
            state, product, tv, coin = 0, 1.0, 0.0, False
            for _ in range(limit):
                tv += float(np.abs(p - q)[state].sum() / 2)
                action = int(draw.choice(actions, p=own[state]))
                product *= min(1.0, float(other[state, action] / own[state, action]))
                coin = coin or bool(pays[state, action])
                state = int(draw.choice(states, p=moves[state, action]))
            rows.append((player, "end", level, 10.0 * coin, coin, False, limit, tv, product))
    names = ["player", "placement", "level_seed", "ret", "coin_collected", "end_reached", "limit",
             "tv", "together"]  # fmt: skip
    sums = (visits(p) + visits(q)) / 2
    return pd.DataFrame(rows, columns=names), float(together.sum()), won(q) - won(p), sums


def test_bounds_hold_and_tend_to_what_is_true() -> None:
    plays, together, gap, sums = plays_of_a_process(2000)
    for _, part in plays.groupby("player"):  # the same over paths of either
        sample = part["together"].to_numpy(float)
        assert abs(sample.mean() - together) < 4 * sample.std() / len(sample) ** 0.5
    found = bounds_of(plays)
    assert 0.005 < abs(gap) < 1 - together < sums  # each as weak as theory has it
    assert 1 - together < found["coin_collected", "coupling"] < 1 - together + 0.05
    assert sums < found["coin_collected", "simulation lemma"] < sums + 0.3
    assert abs(gap) < found["coin_collected", "paired levels"] < abs(gap) + 0.12
    for method in ("coupling", "simulation lemma", "paired levels"):
        assert found["ret", method] == pytest.approx(10 * found["coin_collected", method])
    few = deviation_bounds(plays[plays["level_seed"] < 3])
    assert few["vacuous"].tolist() == few["bound"].ge(few["range"]).tolist()
    assert few["vacuous"].any() and not deviation_bounds(plays)["vacuous"].any()


def bounds_of(plays: pd.DataFrame) -> dict[tuple[str, str], float]:
    rows = deviation_bounds(plays).itertuples()
    return {(str(row.observable), str(row.method)): float(str(row.bound)) for row in rows}


def test_what_has_no_bound_is_refused() -> None:
    plays, *_ = plays_of_a_process(2)
    with pytest.raises(InputError, match=r"confidence=1.0: must be above 0 and below 1"):
        deviation_bounds(plays, 1.0)
    with pytest.raises(InputError, match="levels=1: must be at least 2"):
        deviation_bounds(plays[plays["level_seed"] == 0])
    with pytest.raises(InputError, match="ret of an episode must be from 0 to 10"):
        deviation_bounds(plays.assign(ret=20.0))


class Constant(torch.nn.Module):
    """The same probabilities in every state: some to the right, the rest to no action."""

    def __init__(self, right: float) -> None:
        super().__init__()
        p = torch.full((15,), 1e-12)
        p[7], p[4] = right, 1 - right
        self.logits = p.log()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(states), -1)


def test_episodes_are_played_by_both_and_each_step_counts_once() -> None:
    tasks = [Task("end", seed, 12) for seed in range(6)]
    plays = play_both(Constant(0.9), Constant(0.6), tasks, LevelSettings(), CLASSES)
    assert plays["player"].tolist() == ["a"] * 6 + ["b"] * 6
    assert plays["level_seed"].tolist() == [*range(6)] * 2
    assert plays["tv"].tolist() == pytest.approx([12 * 0.3] * 12)
    # Under a, right is rarer for the other; under b, no action is.
    for player, factor in (("a", 0.6 / 0.9), ("b", 0.1 / 0.4)):
        product = plays.loc[plays["player"] == player, "together"]
        times = np.log(product.to_numpy(float)) / np.log(factor)
        assert np.allclose(times, times.round(), atol=1e-6) and 0 < times.mean() < 12
    same = play_both(Constant(0.9), Constant(0.9), tasks, LevelSettings(), CLASSES)
    assert (same["together"] == 1).all() and (same["tv"] == 0).all()
    a, b = (same[same["player"] == one].drop(columns="player").to_numpy() for one in "ab")
    assert (a == b).all()
