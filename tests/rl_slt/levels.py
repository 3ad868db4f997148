"""A corridor as a decision process of three levels, and a policy of its states."""

from typing import Any

import torch
from torch import Tensor, nn

from rl_slt import PolicyData, TabularMDP, TabularSimulator

STATES = 4


def corridor(dtype: torch.dtype = torch.float64) -> TabularMDP:
    """Left and right on four cells; level l pays 1 at cell l, where it ends; gamma 0.8."""
    moves = torch.zeros(STATES, 2, STATES, dtype=dtype)
    for s in range(STATES):
        moves[s, 0, max(s - 1, 0)] = moves[s, 1, min(s + 1, STATES - 1)] = 1
    goal = torch.eye(STATES, dtype=torch.bool)[:3]
    rewards = moves[:, :, :3].permute(2, 0, 1) * ~goal[..., None]
    starts = (~goal).to(dtype) / (STATES - 1)
    return TabularMDP(moves, rewards, starts, 0.8, goal)


def cells(dtype: torch.dtype = torch.float64) -> PolicyData:
    """One-hot cell and one-hot goal, `[3, 4, 7]`."""
    here = torch.eye(STATES, dtype=dtype).expand(3, STATES, STATES)
    goal = torch.eye(3, dtype=dtype)[:, None].expand(3, STATES, 3)
    return PolicyData(torch.cat([here, goal], -1))


class Net(nn.Module):
    """Tanh units between features `[..., 7]` and logits `[..., 2]`."""

    def __init__(self, hidden: int = 3, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.5 * torch.randn(*shape, generator=generator).to(dtype))

        self.first, self.bias, self.second = draw(hidden, 7), draw(hidden), draw(2, hidden)

    def forward(self, states: Tensor) -> Tensor:
        return (states @ self.first.T + self.bias).tanh() @ self.second.T


class TableOfLevels(nn.Module):
    """Logits `[L, S, A]` as weights; samples `[B, S, F]` of all levels, in order."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, states: Tensor) -> Tensor:
        return states @ self.logits.flatten(0, -2)


def levels_of(loss: Any) -> tuple[Any, nn.Module, PolicyData]:
    """A loss of levels with a process, a policy and the levels, float32."""
    kind = type(loss)
    if loss.plays:
        seen, level = cells(torch.float32).states, torch.arange(12) % 3
        data = PolicyData(seen[level, 0], level=level, episode=torch.arange(12))
        simulator = TabularSimulator(corridor(torch.float32), seen, 20)
        return kind(simulator), Net(dtype=torch.float32), data
    return kind(corridor(torch.float32)), Net(dtype=torch.float32), cells(torch.float32)
