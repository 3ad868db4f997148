"""Which sampler settings an estimate can be trusted at, found by trying.

A calibration makes estimates ("cells") in stages that build on each other: a grid of
localizations, each again with half its step, and checks at the localization recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from rl_slt.calibration.recommend import Calibration, recommend
from rl_slt.data.policy_data import PolicyData
from rl_slt.data.samples import Samples
from rl_slt.errors import InputError
from rl_slt.estimate import estimate_with
from rl_slt.losses.base import LossFunction, as_loss
from rl_slt.losses.kl import PolicyKL
from rl_slt.result import LLCEstimate
from rl_slt.samplers import SAMPLERS
from rl_slt.samplers.base import Sampler
from rl_slt.samplers.chains import Progress
from rl_slt.samplers.hmc import HMC
from rl_slt.settings import POLICY_CNN, Settings, Varied

COLUMNS = (
    "policy", "varied", "sampler", "step_size", "nbeta", "localization", "llc", "stderr", "rhat",
    "ess", "virial", "loss_mean", "status", "message", "n_states", "chains", "burn_in", "dim",
    "rank", "sample_gradients",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One estimate of a calibration.

    Attributes:
        policy: whose.
        varied: what differs from the grid's own estimate: `localization` (nothing else),
            `half-step`, `step-size`, `nbeta`, `control` (nbeta 0), `exact` (HMC) and
            `exact-pair` (the sampler in use, on the same states as `exact`).
        settings: of the estimate.
        states: that many samples (states, or episodes where the loss is of episodes), evenly taken
            from all; None is all.
    """

    policy: str
    varied: str
    settings: Settings
    states: int | None = None


class Sweep(Varied):
    """What to try, and the settings that stay as they are."""

    settings: Settings = POLICY_CNN

    def count(self, policies: int) -> int:
        """How many estimates there are at most."""
        checks = len(self.nbeta_factors) + len(self.step_sizes) + 1 + 2 * self.exact
        return policies * (2 * len(self.localizations) + checks)

    def bases(self, policies: Sequence[str]) -> Iterator[Cell]:
        """The grid of localizations."""
        for gamma in sorted(self.localizations):
            for name in policies:
                yield Cell(name, "localization", self.settings.replace(localization=gamma))

    def halves(self, table: pd.DataFrame) -> Iterator[Cell]:
        """Each estimate of the grid again with half its step, and twice its burn-in.

        So the shorter steps go as far before they count, and what differs is the step's doing.
        """
        grid = table[(table["varied"] == "localization") & (table["status"] != "failed")]
        for row in _rows(grid):
            burn_in = 2 * self.settings.burn_in
            base = self.settings.replace(localization=row.localization, burn_in=burn_in)
            yield Cell(row.policy, "half-step", _with_step(base, row, row.step_size / 2))

    def checks(self, table: pd.DataFrame, localization: float) -> Iterator[Cell]:
        """What is tried at the localization recommended."""
        grid = table[(table["varied"] == "localization") & (table["localization"] == localization)]
        base = self.settings.replace(localization=localization)
        for row in _rows(grid):
            for factor in self.nbeta_factors:
                yield Cell(row.policy, "nbeta", base.replace(nbeta=factor * row.nbeta))
            for step in self.step_sizes:
                yield Cell(row.policy, "step-size", _with_step(base, row, step))
            yield Cell(row.policy, "control", base.replace(nbeta=0.0))
            if self.exact:
                yield from self._exact(row, base.replace(nbeta=row.nbeta))

    def _exact(self, row: Any, base: Settings) -> Iterator[Cell]:
        """HMC and the sampler in use on the same states; a trajectory of HMC is many steps."""
        states = None if self.exact_states is None else min(self.exact_states, row.n_states)
        if base.batch_size is not None and states is not None:
            base = base.replace(batch_size=min(base.batch_size, states))
        own = base.replace(sampler=base.sampler or sampler_of(row.sampler))
        yield Cell(row.policy, "exact-pair", own, states)
        draws = None if base.draws is None else max(40, base.draws // 2)
        burn_in = max(40, base.burn_in // 2)
        hmc = base.replace(sampler=HMC(rotate=True), burn_in=burn_in, draws=draws)
        yield Cell(row.policy, "exact", hmc, states)


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

    The smallest localization (the least that the localizer takes away) is recommended at which all
    estimates are `ok` and no halved step moves them. There nbeta is varied, and a control with
    nbeta 0 must find the localizing Gaussian (virial ratio 1).

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
            estimate = estimate_cell(cell, policies[cell.policy], states, loss, seed)
            rows.append(row_of(cell, estimate))
            done += 1
            if progress is not None:
                progress(done, total)
        return rows

    return carry_out(sweep, list(policies), make)


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
        samples = Samples(data, as_loss(PolicyKL() if loss is None else loss).sample_unit)
        index = torch.linspace(0, samples.n - 1, cell.states).long()
        states = samples.take(index.to(samples.device))
    return estimate_with(policy, states, cell.settings, loss, seed=seed, states_error=False)


Make = Callable[[Sequence[Cell]], Sequence[Mapping[str, Any]]]
"""Makes the estimates of some cells; one row (of `row_of`) for each that came out."""


def carry_out(sweep: Sweep, policies: Sequence[str], make: Make) -> Calibration:
    """The rows of all stages, each planned from those before, and what follows from them.

    Raises:
        InputError: there is no policy.
    """
    if not policies:
        raise InputError("calibration needs at least one policy")
    rows: list[Mapping[str, Any]] = []

    def add(cells: Iterator[Cell]) -> pd.DataFrame:
        rows.extend(make(list(cells)))
        extra = [name for row in rows[:1] for name in row if name not in COLUMNS]
        return pd.DataFrame(rows, columns=[*COLUMNS, *extra])

    table = add(sweep.halves(add(sweep.bases(policies))))
    best = float(recommend(table, policies, sweep.settings).settings.localization)
    return recommend(add(sweep.checks(table, best)), policies, sweep.settings)


def row_of(cell: Cell, estimate: LLCEstimate) -> dict[str, Any]:
    """An estimate as a row of the calibration's table."""
    known = vars(estimate) | estimate.info | {"policy": cell.policy, "varied": cell.varied}
    return {name: known[name] for name in COLUMNS}


def sampler_of(name: str) -> Sampler:
    """The sampler that an estimate chose by itself."""
    return HMC(rotate=True) if name == HMC.name else SAMPLERS[name]()


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    yield from table.itertuples()


def _with_step(base: Settings, row: Any, step_size: float) -> Settings:
    """The settings of a row's estimate with another step in the same coordinates."""
    sampler = replace(base.sampler or sampler_of(row.sampler), step_size=step_size)
    rank = None if row.rank < 0 else int(row.rank)
    return base.replace(sampler=sampler, preconditioner_rank=rank)
