"""Known answers of exact returns: decision processes small enough for a quadrature, or regular.

Their regrets are differences of nearly equal numbers, and nbeta is 1e5 or more: double precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rl_slt.data.policy_data import PolicyData
from rl_slt.data.tabular import TabularMDP
from rl_slt.known.problem import Problem
from rl_slt.losses.exact import ExactRegret, OfLevels, ReturnError

NBETA = 1e5
TINY = 1e-300  # of a probability whose logarithm is taken

Logits = Callable[[Tensor], Tensor]


class LevelPolicy(nn.Module):
    """Logits `[S, A]`, the same on every level, as a function of a few weights."""

    def __init__(self, weights: Tensor, logits: Logits) -> None:
        super().__init__()
        self.w, self.logits = nn.Parameter(weights.double()), logits

    def forward(self, states: Tensor) -> Tensor:
        """Logits `[B, S, A]` of any rows `[B, S, F]`."""
        logits = self.logits(self.w)
        return logits.expand(len(states), *logits.shape)


def of_levels(
    mdp: TabularMDP,
    weights: Tensor,
    logits: Logits,
    lambda_: float,
    exact: float,
    exact_error: float = 0.0,
    temperature: float = 0.0,
    kind: type[OfLevels] = ExactRegret,
    nbeta: float = NBETA,
    localization: float = 1.0,
) -> Problem:
    """A problem whose policy sees nothing, and whose levels count as the process says."""
    levels, states, _ = mdp.rewards.shape
    return Problem(
        policy=LevelPolicy(weights, logits),
        data=PolicyData(torch.zeros(levels, states, 1, dtype=torch.float64)),
        loss=kind(mdp, temperature),
        nbeta=nbeta,
        localization=localization,
        exact=exact,
        lambda_=lambda_,
        exact_error=exact_error,
    )


def corridor(cells: int, discount: float = 0.9) -> TabularMDP:
    """Right and left on a row of cells, from the first one; a reward of 1 ends it in the last."""
    moves = torch.zeros(cells, 2, cells, dtype=torch.float64)
    for s in range(cells):
        moves[s, 0, min(s + 1, cells - 1)] = moves[s, 1, max(s - 1, 0)] = 1
    end = torch.arange(cells)[None] == cells - 1
    rewards = moves[None, :, :, -1] * ~end[..., None]
    starts = torch.eye(cells, dtype=torch.float64)[:1]
    return TabularMDP(moves, rewards, starts, discount, end)


def bandit(*rewards: tuple[float, ...], weights: tuple[float, ...] | None = None) -> TabularMDP:
    """One choice, whose rewards each level has of its own, and it is over."""
    levels, actions = len(rewards), len(rewards[0])
    stay = torch.ones(1, actions, 1, dtype=torch.float64)
    given = torch.tensor(rewards, dtype=torch.float64)[:, None]
    counts = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    starts = torch.ones(levels, 1, dtype=torch.float64)
    return TabularMDP(stay, given, starts, 0.0, weights=counts)


def gridworld(size: int, discount: float = 0.9) -> TabularMDP:
    """Four directions on an open grid, a reward of 1 in the last corner, from anywhere else."""
    cells = size**2
    moves = torch.zeros(cells, 4, cells, dtype=torch.float64)
    for s in range(cells):
        y, x = divmod(s, size)
        for a, (dx, dy) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
            to = min(max(y + dy, 0), size - 1) * size + min(max(x + dx, 0), size - 1)
            moves[s, a, to] = 1
    end = torch.arange(cells)[None] == cells - 1
    rewards = moves[None, :, :, -1] * ~end[..., None]
    starts = (~end).double() / (cells - 1)
    return TabularMDP(moves, rewards, starts, discount, end)


def soft_corridor(exact: float) -> Problem:
    """Two cells to walk, a weight each, at temperature 0.1: lambda is 1."""
    mdp, temperature = corridor(3), 0.1
    best = mdp.optimal_logits(temperature)[0, :2]
    return of_levels(mdp, best[:, 0] - best[:, 1], _odds_of_right, 1.0, exact,
                     temperature=temperature, localization=30.0)  # fmt: skip


def _odds_of_right(w: Tensor) -> Tensor:
    """Log-odds of right in all cells but the last; logits `[S, 2]`."""
    odds = torch.cat([w, w.new_zeros(1)])
    return torch.stack([odds, torch.zeros_like(odds)], -1)


def two_routes(exact: float) -> Problem:
    """Two chances, missed with odds `x^2` and `y^2`: the regret is near `x^2 y^2`.

    Lambda is 1/2, of multiplicity 2. The hard regret has its minimum at finite weights here. The
    localizer keeps `nbeta / gamma^2` at 1000: without it the set of zeros is two arms so long and
    narrow that chains seldom get from one to the other.
    """
    moves = torch.zeros(4, 2, 4, dtype=torch.float64)  # two choices, lost, won
    moves[0, 0, 3] = moves[0, 1, 1] = moves[1, 0, 3] = moves[1, 1, 2] = 1
    moves[2:, :, 3] = 1
    end = torch.tensor([[False, False, True, True]])
    rewards = torch.zeros(1, 4, 2, dtype=torch.float64)
    rewards[:, 0, 0], rewards[:, 1, 0] = 1, 1 / 0.9
    mdp = TabularMDP(moves, rewards, torch.eye(4, dtype=torch.float64)[:1], 0.9, end)
    return of_levels(mdp, torch.zeros(2), _odds_of_missing, 0.5, exact, localization=10.0)


def _odds_of_missing(w: Tensor) -> Tensor:
    odds = (torch.cat([w, w.new_zeros(2)]).square() + TINY).log()
    return torch.stack([torch.zeros_like(odds), odds], -1)


def tied_bandit(exact: float) -> Problem:
    """Three actions, two of them equally good, at temperature 0.2: lambda is `(3 - 1) / 2`."""
    mdp = bandit((1.0, 1.0, 0.0))
    best = mdp.optimal_logits(0.2)[0, 0]
    return of_levels(mdp, best, _one_state, 1.0, exact, temperature=0.2, localization=1.0)


def _one_state(w: Tensor) -> Tensor:
    return w[None]


def tabular_grid(exact: float, exact_error: float) -> Problem:
    """A table on the 3 x 3 grid at temperature 0.1: lambda is `8 (4 - 1) / 2`."""
    mdp = gridworld(3)
    best = mdp.optimal_logits(0.1)[0]
    weights = (best - best.mean(-1, keepdim=True)).flatten()
    return of_levels(mdp, weights, functools.partial(_table, 9, 4), 12.0, exact, exact_error,
                     temperature=0.1)  # fmt: skip


def _table(states: int, actions: int, w: Tensor) -> Tensor:
    return w.view(states, actions)


def squared_regret(exact: float) -> Problem:
    """The return error at the best policy of the tied bandit, the square of its regret.

    Squaring a loss halves its lambda: 1/2.
    """
    mdp = bandit((1.0, 1.0, 0.0))
    best = mdp.optimal_logits(0.2)[0, 0]
    return of_levels(mdp, best, _one_state, 0.5, exact, temperature=0.2, kind=ReturnError,
                     nbeta=1e7)  # fmt: skip


def product_policy(exact: float) -> Problem:
    """Log-odds `x y` between two equal actions at temperature 1, near `(x y)^2 / 8`.

    A network of one unit without a bias: lambda is 1/2, of multiplicity 2.
    """
    return of_levels(bandit((1.0, 1.0)), torch.zeros(2), _product, 0.5, exact, temperature=1.0,
                     localization=4.0)  # fmt: skip


def _product(w: Tensor) -> Tensor:
    return torch.stack([w[:1] * w[1:], w.new_zeros(1)], -1)


def compromise(exact: float) -> Problem:
    """Two levels of weights 3 and 1 that want opposite actions of one weight, temperature 1/2.

    The minimum is no perfect policy: log-odds `(3/4 - 1/4) / tau`, where the regret is above 0.
    """
    mdp = bandit((1.0, 0.0), (0.0, 1.0), weights=(3.0, 1.0))
    return of_levels(mdp, torch.ones(1), _log_odds, 0.5, exact, temperature=0.5,
                     localization=1000.0)  # fmt: skip


def _log_odds(w: Tensor) -> Tensor:
    return torch.stack([w, torch.zeros_like(w)], -1)


def quartic(exact: float) -> Problem:
    """A bad action of odds `x^4`, hard regret: lambda is 1/4."""
    return of_levels(bandit((1.0, 0.0)), torch.zeros(1), _odds_of_fourth_power, 0.25, exact)


def _odds_of_fourth_power(w: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(w), (w**4 + TINY).log()], -1)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "soft-corridor": lambda: soft_corridor(exact=0.98833),
    "two-routes": lambda: two_routes(exact=0.39248),
    "tied-bandit": lambda: tied_bandit(exact=1.00156),
    "tabular-grid": lambda: tabular_grid(exact=12.0024, exact_error=0.0025),
    "squared-regret": lambda: squared_regret(exact=0.47149),
    "product-policy": lambda: product_policy(exact=0.38725),
    "compromise": lambda: compromise(exact=0.45385),
    "quartic": lambda: quartic(exact=0.24974),
}
