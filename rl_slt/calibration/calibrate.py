"""Which sampler settings an estimate can be trusted at, found by trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from rl_slt.calibration.recommend import recommend
from rl_slt.calibration.sweep import Cell, Sweep, carry_out, row_of
from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Units
from rl_slt.estimate import estimate_with
from rl_slt.losses.base import LossFunction, as_loss
from rl_slt.losses.kl import PolicyKL
from rl_slt.plots import plateau_figure
from rl_slt.result import LLCEstimate
from rl_slt.samplers.chains import Progress
from rl_slt.settings import Settings


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was tried and what is recommended.

    Attributes:
        table: one row per estimate; `varied` says what differs from the grid's own estimates (see
            `rl_slt.calibration.sweep.Cell`).
        settings: the recommendation.
        sound: whether it passed every check on all policies.
        reason: why, in words.
    """

    table: pd.DataFrame
    settings: Settings
    sound: bool
    reason: str

    def plot(self) -> Figure:
        """The plateau: LLC over localization, nbeta and step size, with half steps beside."""
        return plateau_figure(self.table, self.settings.localization)


def calibrate(
    policies: Mapping[str, nn.Module],
    states: Tensor | PolicyData,
    sweep: Sweep | None = None,
    *,
    loss: LossFunction | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Sweep localization, step size and nbeta on a few policies (first, middle, last checkpoint).

    The smallest localization (the least that the localiser takes away) is recommended at which all
    estimates are `ok` and no halved step moves them. There nbeta is varied, and a control with
    nbeta 0 must find the localising Gaussian (virial ratio 1).

    Args:
        policies: by name.
        states: the same for all.
        sweep: what to try; None is `Sweep()`.
        loss: None is the self-KL.
        seed: of the chains.
        progress: called with (estimates done, estimates in all at most).

    Raises:
        InputError: there is no policy, or a setting is wrong.
    """
    sweep = sweep or Sweep()
    total, done = sweep.count(len(policies)), 0

    def make(cells: Sequence[Cell]) -> list[dict[str, Any]]:
        nonlocal done
        rows = []
        for cell in cells:
            rows.append(
                row_of(cell, estimate_cell(cell, policies[cell.policy], states, loss, seed))
            )
            done += 1
            if progress is not None:
                progress(done, total)
        return rows

    return conclude(sweep, list(policies), carry_out(sweep, list(policies), make))


def estimate_cell(
    cell: Cell,
    policy: nn.Module,
    states: Tensor | PolicyData,
    loss: LossFunction | None,
    seed: int,
) -> LLCEstimate:
    """The estimate of one cell."""
    if cell.states is not None:
        data = states if isinstance(states, PolicyData) else PolicyData(states)
        units = Units(data, as_loss(PolicyKL() if loss is None else loss).unit)
        index = torch.linspace(0, units.n - 1, cell.states).long()
        states = units.take(index.to(units.device))
    return estimate_with(policy, states, cell.settings, loss, seed=seed, data_error=False)


def conclude(sweep: Sweep, policies: Sequence[str], table: pd.DataFrame) -> Calibration:
    """The recommendation that follows from a table of estimates."""
    best = recommend(table, policies)
    chosen = sweep.settings.replace(localization=best.localization)
    return Calibration(table, chosen, best.sound, best.reason)
