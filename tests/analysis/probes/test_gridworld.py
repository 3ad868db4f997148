"""Exact probes of the gridworld, on policies whose goal is known and against rollouts."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from analysis.probes import PROBES, main_metric, probe_gridworld
from analysis.probes.gridworld import first_reached, toward_cheese
from envs.gridworld import CheeseGrid, make_grid_vec

GRIDS = (CheeseGrid(), CheeseGrid(size=5, walls=0.2, seed=2, layouts=2))


class Table(nn.Module):
    """Logits by level and state, looked up by what is seen."""

    def __init__(self, grid: CheeseGrid, logits: Tensor) -> None:
        super().__init__()
        flat = torch.from_numpy(grid.observations).flatten(0, 1)
        self.seen, self.logits = nn.Parameter(flat), logits.flatten(0, 1)

    def forward(self, states: Tensor) -> Tensor:
        where = (states.flatten(0, -2) @ self.seen.T).argmax(-1)
        return self.logits[where].reshape(*states.shape[:-1], 4)


def goes_to(grid: CheeseGrid, goal: Callable[[int], int]) -> Tensor:
    """Logits of a mouse that takes a shortest way to a state of each level."""
    nearer = []
    for number in range(len(grid.levels)):
        layout, to = grid.layout(number), grid.layout(number).distances[:, goal(number)]
        after = np.nan_to_num(to[layout.successors], posinf=99)
        nearer.append(-60.0 * (after - after.min(axis=1, keepdims=True)))
    return torch.from_numpy(np.stack(nearer))


def values(grid: CheeseGrid, logits: Tensor) -> dict[tuple[str, str], float]:
    table = probe_gridworld(Table(grid, logits), grid, run="a-s0", step=7)
    assert (table["ci_low"] == table["value"]).all() and (table["ci_high"] == table["value"]).all()
    return dict(zip(zip(table["probe"], table["metric"], strict=True), table["value"], strict=True))


@pytest.mark.parametrize("grid", GRIDS, ids=["open", "walls"])
def test_a_mouse_that_goes_to_the_corner_and_one_that_goes_for_the_cheese(grid: CheeseGrid) -> None:
    blind = values(grid, goes_to(grid, lambda n: grid.layout(n).corner))
    assert blind["apart", "corner_first"] == pytest.approx(1, abs=1e-9)
    assert blind["apart", "cheese_first"] == pytest.approx(0, abs=1e-9)
    assert blind["counterfactual", "toward:cheese"] == pytest.approx(0, abs=1e-12)
    best = grid.mdp.optimal_returns().numpy()
    assert blind["corner", "mean_return"] == pytest.approx(best @ grid.probabilities("corner"))
    seeker = values(grid, goes_to(grid, lambda n: grid.levels[n].cheese))
    assert seeker["apart", "corner_first"] == pytest.approx(0, abs=1e-9)
    assert seeker["apart", "cheese_first"] == pytest.approx(1, abs=1e-9)
    assert seeker["anywhere", "mean_return"] == pytest.approx(best @ grid.probabilities("anywhere"))
    assert blind["anywhere", "mean_return"] < 0.5 < seeker["anywhere", "mean_return"]
    assert 0.5 < seeker["counterfactual", "toward:cheese"] <= 2


def test_starts_where_the_ways_come_apart() -> None:
    grid = CheeseGrid(size=3)
    maps = {grid.text(level): grid.apart[level].reshape(3, 3)[::-1] for level in (3, 8)}
    # Not from below the cheese, whose way to the corner passes it, nor on either of the two.
    assert maps["...\n*..\n..."].tolist() == [[1, 1, 0], [0, 1, 1], [0, 1, 1]]
    assert not maps["..*\n...\n..."].any()


def test_a_uniform_mouse_reaches_either_as_in_a_random_walk() -> None:
    """On a strip of corridor it is the gambler's ruin: linear in the distance."""
    corridor = CheeseGrid(walls=".....\n.####\n.####\n.####\n.####")
    probs = torch.full((9, 25, 4), 0.25, dtype=torch.float64)
    level = next(n for n, (_, cheese) in enumerate(corridor.levels) if cheese == 0)
    corner, cheese = first_reached(probs, corridor)
    way = [0, 5, 10, 15, 20, 21, 22, 23, 24]  # states from the cheese to the corner
    assert corner[level, way].numpy() == pytest.approx(np.arange(9) / 8, abs=1e-6)
    assert cheese[level, way].numpy() == pytest.approx(1 - np.arange(9) / 8, abs=1e-6)


def test_first_passages_are_those_of_rollouts() -> None:
    grid = GRIDS[1]
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(len(grid.levels), 25, 4, generator=generator, dtype=torch.float64)
    probs = (0.5 * logits).softmax(-1)
    exact, _ = first_reached(probs, grid)
    vector = make_grid_vec(300, "anywhere", grid=grid.settings, time_limit=1000)
    vector.reset(seed=0)
    rng, corner = np.random.default_rng(0), grid.n_states - 1
    level, start, reached = vector.level.copy(), vector.state.copy(), vector.state == corner
    rows = []
    for _ in range(1000):
        cuts = probs[vector.level, vector.state].cumsum(-1).numpy()
        _, _, terminated, truncated, _ = vector.step(
            (rng.random((300, 1)) > cuts).sum(1).clip(max=3)
        )
        ends = (terminated | truncated) | (vector.state == corner)
        for i in np.flatnonzero(ends & ~reached & ~truncated):
            rows.append((level[i], start[i], not terminated[i]))
        over = terminated | truncated
        reached = np.where(over, vector.state == corner, reached | ends)
        level, start = np.where(over, vector.level, level), np.where(over, vector.state, start)
    frame = pd.DataFrame(rows, columns=["level", "state", "corner"])
    frame = frame[frame["level"].map(lambda n: grid.levels[n].cheese != corner)]
    expected = exact.numpy()[frame["level"], frame["state"]]
    error = (expected * (1 - expected)).sum() ** 0.5
    assert len(frame) > 2000
    assert abs(frame["corner"].sum() - expected.sum()) < 4 * error


def test_the_counterfactual_of_one_step() -> None:
    """Half of the mice turn to a cheese on the left, of those that else go right and up."""
    grid = CheeseGrid(size=3)
    probs = torch.tensor([0.0, 0.5, 0.0, 0.5], dtype=torch.float64).repeat(9, 9, 1)
    probs[3, 4] = torch.tensor([0.5, 0.25, 0.0, 0.25], dtype=torch.float64)
    # Cheese at (0, 1), mouse at (1, 1): left is nearer, the three others are further.
    assert float(toward_cheese(probs, grid)[3, 4]) == pytest.approx((0.5 - 0.5) - (0 - 1))
    assert float(toward_cheese(probs, grid)[3, 7]) == 0


def test_records_say_which_metric_counts() -> None:
    grid = GRIDS[0]
    table = probe_gridworld(Table(grid, torch.zeros(25, 25, 4)), grid, run="a-s0", step=0)
    shown = table[table["probe"] != "counterfactual"]
    known = set(zip(shown["probe"], shown["metric"], strict=True))
    for probe in ("apart", "anywhere", "corner"):
        assert (probe, main_metric(probe)) in known
        assert PROBES[probe].control is None
    assert main_metric("behind") == "coin_rate" and PROBES["behind"].is_sharp
    assert table["n"].tolist() == [25, 1, 344, 344, 344]
