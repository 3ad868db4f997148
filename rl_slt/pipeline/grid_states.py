"""What a loss is averaged over in a gridworld: all of its levels and cells, weighted.

Nothing is visited. `frozen` has levels as the placements of all arms have them, in equal parts, and
the cells of each as its starts; it is shared by all checkpoints and runs. `on-policy` has those of
the run's own placement, and the cells as the checkpoint visits them (discounted). `:PLACEMENT`
replaces the placements. A loss whose sample is a level reads all cells of each, and weighs levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from agents import TrainConfig
from envs import CheeseGrid, GridSettings, log_probs, parse_cheese
from rl_slt import PolicyData, TabularMDP
from rl_slt.errors import InputError
from rl_slt.losses import Loss
from rl_slt.pipeline.states import StateSet, parse_states
from rl_slt.versions import STAGES


class GridStates(StateSet):
    """The levels and cells of a gridworld.

    Attributes:
        grid: its size and walls.
        discount: gamma, per step.
        version: of how they are weighted.
    """

    grid: GridSettings
    discount: float
    version: int

    @property
    def levels(self) -> CheeseGrid:
        """The levels, made once."""
        return _grid(self.grid, self.discount)

    @property
    def mdp(self) -> TabularMDP:
        """The process of the levels."""
        return self.levels.mdp

    def read_by(self, loss: Loss) -> GridStates:
        """See `StateSet`: of levels, nobody's visits matter, nor how many arms have a placement."""
        alike = self.placements[:1] if len({*self.placements}) == 1 else self.placements
        return self.replace(name="", placements=alike) if loss.sample_unit == "level" else self

    @property
    def shares(self) -> Tensor:
        """Of each level, `[L]`, float64."""
        return torch.from_numpy(np.mean([self.levels.probabilities(p) for p in self.placements], 0))

    def load(
        self, loss: Loss, policy: nn.Module, checkpoint: Path, cache: Path, weights: str,
        train: TrainConfig,
    ) -> PolicyData:  # fmt: skip
        """See `StateSet`."""
        states = torch.from_numpy(self.levels.observations)
        if loss.sample_unit == "level":
            return PolicyData(states, weights=(self.shares * len(states)).float())
        return self._cells(self._visits(policy))

    def origin(
        self, loss: Loss, policy: nn.Module, cache: Path, weights: str
    ) -> pd.DataFrame | None:
        """See `StateSet`: level, its layout, and the cells of the cheese and, in it, the mouse."""
        grid, shares = self.levels, self.shares
        if loss.sample_unit == "level":
            level = torch.nonzero(shares)[:, 0]
            cells: dict[str, object] = {}
        else:
            level, cell = torch.nonzero(self._share(self._visits(policy)), as_tuple=True)
            cells = {"x": (cell % grid.size).numpy(), "y": (cell // grid.size).numpy()}
        cheese = np.array([grid.cheese(int(i)) for i in level])
        layout = [grid.levels[int(i)].layout for i in level]
        known = {"level": level.numpy(), "layout": layout, **cells}
        return pd.DataFrame(known | {"coin_x": cheese[:, 0], "coin_y": cheese[:, 1]})

    def groups(self, origin: pd.DataFrame) -> pd.Series:
        """See `StateSet`: where the cheese is."""
        corners = [self.levels.layouts[i].corner for i in origin["layout"]]
        cheese = origin["coin_y"] * self.levels.size + origin["coin_x"]
        home = cheese.to_numpy() == np.array(corners)
        words = np.where(home, "cheese in the corner", "cheese elsewhere")
        return pd.Series(words, index=origin.index)

    def few(self, most: int, cache: Path) -> PolicyData:
        """All cells: they cannot be thinned evenly, and are few."""
        return self._cells(self.mdp.starts)

    def _visits(self, policy: nn.Module) -> Tensor:
        """How often each cell counts in its level `[L, S]`."""
        if not parse_states(self.name).own:
            return self.mdp.starts
        states = torch.from_numpy(self.levels.observations)
        return self.mdp.occupancy(probs=log_probs(policy, states).exp())

    def _share(self, visits: Tensor) -> Tensor:
        """Of each cell of each level in all `[L, S]`."""
        return self.shares[:, None] * visits / visits.sum(-1, keepdim=True)

    def _cells(self, visits: Tensor) -> PolicyData:
        """Cells as samples, a level their episode: weighed by level and by visits `[L, S]`."""
        share = self._share(visits)
        level, cell = torch.nonzero(share, as_tuple=True)
        found = share[level, cell]
        return PolicyData(
            torch.from_numpy(self.levels.observations)[level, cell],
            episode=torch.unique(level, return_inverse=True)[1],
            weights=(found / found.mean()).float(),
        )


@lru_cache(maxsize=4)
def _grid(settings: GridSettings, discount: float) -> CheeseGrid:
    return CheeseGrid.of(settings, discount)


def grid_states(
    train: TrainConfig, text: str, placements: Sequence[str], n: int, seed: int
) -> GridStates:
    """The state set of that name for a run in a gridworld; `n` and `seed` choose nothing there.

    Raises:
        InputError: there is no such set, or no such placement, in a gridworld.
    """
    name = parse_states(text)
    if name.source == "probe" or name.keep:
        raise InputError.of("states", text, "frozen or on-policy, then :PLACEMENT, in a gridworld")
    own = (train.coin,) if name.own else tuple(placements)
    wanted = (name.placement,) if name.placement else own
    for placement in wanted:
        parse_cheese(placement)
    return GridStates(
        name=str(name), placements=wanted, grid=train.grid, discount=train.gamma,
        version=STAGES["grid_states"],
    )  # fmt: skip
