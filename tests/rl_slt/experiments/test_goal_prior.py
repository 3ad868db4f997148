"""Goals of random weights: numbers of many networks at once, and what the posterior must hold."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection

from agents import network_spec
from analysis.probes import grid_goal
from rl_slt import ExactRegret
from rl_slt.experiments.goal_prior import (
    COINRUN,
    LEVELS,
    Mouse,
    counted,
    interval,
    page,
    posterior,
    prior,
    trainings,
)


def test_many_networks_at_once_are_as_one_by_one() -> None:
    mouse = Mouse(0.2)
    w = torch.randn(120, mouse.dim, generator=torch.Generator().manual_seed(0))
    goals, regrets = mouse.goals(w), mouse.regret(w)
    assert set(goals.tolist()) == {-1.0, 0.0, 1.0}
    loss, data = ExactRegret(mouse.grid.mdp, 0.02), mouse.grid.data(placement=mouse.config.coin)
    sign = {"corner": 1.0, "cheese": -1.0, "neither": 0.0}
    for row, goal, regret in zip(w, goals, regrets, strict=True):
        policy = network_spec(mouse.config).build()
        torch.nn.utils.vector_to_parameters(row, policy.parameters())
        assert sign[grid_goal(policy, mouse.grid)] == goal
        prepared = loss.prepare(policy, data, torch.Generator())
        assert float(loss.weighted(policy, prepared).mean().detach()) == pytest.approx(
            float(regret.detach()), abs=1e-5
        )


def test_at_equal_regret_the_posterior_holds_what_the_prior_does() -> None:
    """By Bayes' rule, at every temperature: direct draws and ladders must agree level by level."""
    settings = {"alpha": 0.2, "sd": 1.0, "seed": 0}
    drawn = prior(None, samples=10_000, **settings)  # type: ignore[arg-type]
    ladders = posterior(None, draws=100, **settings)  # type: ignore[arg-type]
    both = drawn.merge(ladders, on="low", suffixes=("", "_ladders")).query("n > 200")
    assert len(both) >= 3 and ladders["low"].min() < 0.1 * both["low"].min()
    for goal in ("corner", "cheese"):
        error = np.hypot(both[f"{goal}_stderr"], both[f"{goal}_stderr_ladders"]) + 0.01
        z = (both[goal] - both[f"{goal}_ladders"]) / error
        assert z.abs().max() < 3, both
    assert both["corner"].max() - both["corner"].min() > 0.1  # so that agreement says something


def test_shares_and_their_errors_are_those_of_independent_groups() -> None:
    """Four ladders of equal draws: the error is that of four numbers, not of four thousand."""
    goal = np.repeat([1.0, 1.0, -1.0, 0.0], 1000)
    regret, group = np.full(4000, LEVELS[3] * 0.99), np.repeat(np.arange(4), 1000)
    (row,) = counted(0.1, "x", regret, goal, group).to_dict("records")
    assert (row["low"], row["high"], row["n"], row["groups"]) == (LEVELS[4], LEVELS[3], 4000, 4)
    assert (row["corner"], row["cheese"]) == (0.5, 0.25)
    assert row["corner_stderr"] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)
    (single,) = counted(0.1, "x", regret, goal, np.arange(4000)).to_dict("records")
    assert single["corner_stderr"] == pytest.approx(0.5 / np.sqrt(4000), rel=1e-3)


def test_trainings_where_the_cheese_lies_anywhere_end_at_the_cheese() -> None:
    table = trainings(None, 1.0, "network", 6, 400, 1.0, 1.0, 0)  # type: ignore[arg-type]
    assert (table["groups"] <= 6).all() and table["n"].max() <= 6
    assert table.sort_values("low")["cheese"].iloc[0] == 1


def test_bars_of_few_ladders_are_intervals_of_few() -> None:
    """Student's t with three degrees of freedom: 3.18 standard errors, not 1.96."""
    row = dict(alpha=0.0, source="posterior", low=0.1, high=0.12, n=300, groups=4, corner=0.5,
               corner_stderr=0.1, cheese=0.0, cheese_stderr=0.0, least=0.1, mixed=True)  # fmt: skip
    tables = {"shares": pd.DataFrame([row]), "coinrun": pd.DataFrame(columns=list(COINRUN))}
    axes = page(tables).figures[0][1].axes[0]
    (bars,) = (c for c in axes.collections if isinstance(c, LineCollection))
    low, high = bars.get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(0.318, abs=0.001)


def test_none_of_sixteen_is_not_known_to_be_none() -> None:
    """Wilson's interval of 0 of n ends at z^2 / (n + z^2); ladders that agree have no interval."""
    row = dict(n=16, groups=16, corner=0.0, corner_stderr=0.0, cheese=13 / 16, cheese_stderr=0.1)
    low, high = interval(row, "corner") or (1, 1)
    assert (low, high) == (0, pytest.approx(3.8415 / (16 + 3.8415), abs=1e-4))
    low, high = interval(row, "cheese") or (1, 1)
    assert (low, high) == pytest.approx((0.570, 0.934), abs=1e-3)
    assert interval(row | {"groups": 4}, "corner") is None
